"""`rsq-pipe completion`: a script that makes the shell complete commands, options, files and stages."""

from __future__ import annotations

import sys

import rich_click as click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_RSQ_PIPE_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """
    Print a script that completes commands in the shell.

    bash: `eval "$(rsq-pipe completion bash)"` in ~/.bashrc. zsh: the same with zsh in ~/.zshrc.
    fish: `rsq-pipe completion fish > ~/.config/fish/completions/rsq-pipe.fish`.
    """
    found = get_completion_class(shell)
    assert found is not None, "click completes in these shells"
    sys.stdout.write(found(ctx.find_root().command, {}, "rsq-pipe", VARIABLE).source() + "\n")
