"""`rsq-pipe dlq`: look at dead letters, edit them, send them back, or delete them."""

from __future__ import annotations

import rich_click as click

from rsq_pipe.cli.dlq import export, purge, replay, show
from rsq_pipe.cli.dlq import list as list_
from rsq_pipe.suggestion import suggest


class DlqGroup(click.RichGroup):
    """A group that is told what to do with a file, where it expects a command."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say how to write one."""
        named = args and not args[0].startswith("-") and not ctx.resilient_parsing
        if named and args[0] not in self.commands:
            fix = suggest(args[0], self.commands)
            if args[0].endswith((".yaml", ".yml")):
                fix = f"write `rsq-pipe dlq list {args[0]}`"
            ctx.fail(f"there is no command {args[0]!r} of dlq; {fix}")
        return super().resolve_command(ctx, args)


@click.group("dlq", cls=DlqGroup, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """
    Look at dead letters, edit them, send them back.

    PIPELINE is a pipeline's file, or its name together with --redis.
    """


for subcommand in (list_, show, replay, export, purge):
    command.add_command(subcommand.command)
