"""Reference: the page of all commands and options, generated from the commands themselves."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import cleandoc

import rich_click as click

from rsq_pipe.cli.main import COMMANDS

_HEAD = """\
<!-- Generated: python -m rsq_pipe.cli.reference > docs/reference/cli.md -->

# The command line

`rsq-pipe COMMAND --help` says the same in the terminal. [Exit codes](exit-codes.md) are the same for all
commands. `rsq-pipe --version` prints the version; `--debug`, or `RSQ_DEBUG=1`, shows the traceback of a fault
in rsq-pipe itself.

| command | what it does |
|---|---|
"""


def reference_page() -> str:
    """Build the page as it is committed."""
    rows = [f"| [`{name}`](#rsq-pipe-{name}) | {summary} |" for name, (_, summary) in COMMANDS.items()]
    parts = [_HEAD + "\n".join(rows) + "\n"]
    for name, (module, _) in COMMANDS.items():
        parts += _command(f"rsq-pipe {name}", import_module(module).command)
    return "\n".join(parts)


def _command(name: str, command: click.Command) -> Iterator[str]:
    """Format a command and its subcommands."""
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    yield f"## {name}\n\n    {usage}\n\n{_text(command.help or '')}\n"
    rows = [
        _row(option) for option in command.params if isinstance(option, click.Option) and not option.hidden
    ]
    if rows:
        yield "\n".join(["| option | default | what it is |", "|---|---|---|", *rows, ""])
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None, f"{name} lists {below}, and has no such command"
            yield from _command(f"{name} {below}", found)


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" {_value(option)}"
    default = option.default if option.show_default and option.default is not None else ""
    shown = f"`{default}`" if default != "" else ""
    what = _text(option.help or "").replace("|", "\\|").replace("\n", " ")
    return f"| {names}{value} | {shown} | {what} |"


def _value(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return " \\| ".join(f"`{choice}`" for choice in option.type.choices)
    if isinstance(option.type, click.IntRange):
        return option.metavar or "N"
    return option.metavar or option.type.name.upper()


def _text(text: str) -> str:
    """Remove click's own markers."""
    return re.sub(r"^\x08\n", "", cleandoc(text), flags=re.MULTILINE).partition("\f")[0].strip()


if __name__ == "__main__":
    sys.stdout.write(reference_page())
