"""`rsq-pipe dlq`: look at dead letters, edit them, send them back, or delete them."""

from __future__ import annotations

import rich_click as click

from rsq_pipe.cli import dlq_export, dlq_list, dlq_purge, dlq_replay, dlq_show


@click.group("dlq", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """
    Look at dead letters, edit them, send them back.

    PIPELINE is a pipeline's file, or its name together with --redis.
    """


for subcommand in (dlq_list, dlq_show, dlq_replay, dlq_export, dlq_purge):
    command.add_command(subcommand.command)
