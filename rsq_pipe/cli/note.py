"""Note: a sentence below a table; and how wide output may be where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from msgspec import Struct
from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

_UNBROKEN = 10_000
"""Columns where there is no terminal: whoever searches a log wants a row, and a sentence, on one line."""

_INDENT = 2


def console_for(stream: TextIO, *, soft_wrap: bool = False) -> Console:
    """Make a console as wide as a terminal; where the stream is none, nothing is wrapped."""
    width = None if stream.isatty() else _UNBROKEN
    return Console(file=stream, width=width, highlight=False, soft_wrap=soft_wrap)


class Note(Struct, frozen=True):
    """
    Draw a sentence, with all lines but the first set in, so that notes can be told apart.

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
