"""Note: a sentence below a table; and the width of output if there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from msgspec import Struct
from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

_UNBROKEN = 10_000
"""Columns if there is no terminal: in a log, a row or a sentence should be on one line."""

_INDENT = 2


def console_for(stream: TextIO, *, soft_wrap: bool = False, markup: bool = True) -> Console:
    """Create a console as wide as a terminal; if the stream is none, nothing is wrapped."""
    width = None if stream.isatty() else _UNBROKEN
    return Console(file=stream, width=width, highlight=False, soft_wrap=soft_wrap, markup=markup)


class Note(Struct, frozen=True):
    """
    Format a sentence, with all lines but the first indented, so that notes are distinguishable.

    Args:
        text: The sentence.
    """

    text: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if self.text.cell_len <= options.max_width:
            yield self.text
            return
        first, *rest = self.text.wrap(console, max(1, options.max_width - _INDENT))
        yield first
        for line in rest:
            yield Text(" " * _INDENT).append_text(line)
