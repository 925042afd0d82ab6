"""Screen: the output of `dev`: a line for each event, with the time it took."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from rich.text import Text

from rsq_pipe.cli.output.console import console
from rsq_pipe.cli.output.printable import printable

_STYLES = {
    "changed": "cyan",
    "reloaded": "green",
    "wrong": "bold red",
    "refused": "bold red",
    "ended": "yellow",
}


class Screen:
    """Print events."""

    def __init__(self) -> None:
        self._console = console()

    def show(self, what: str, text: str) -> None:
        """Print a line: the time, a word for the event, and the text; further lines below it."""
        first, *others = printable(text).split("\n")
        clock = time.strftime("%H:%M:%S")
        line = Text.assemble((clock, "dim"), "  ", (f"{what:<9}", _STYLES.get(what, "bold")), f" {first}")
        self._console.print(line, soft_wrap=True)
        for other in others:
            self._console.print(Text(f"{'':<20}{other}"), soft_wrap=True)


def named(stages: Sequence[str]) -> str:
    """Name stages for a sentence."""
    return ", ".join(stages) if len(stages) <= 8 else f"{', '.join(stages[:7])} and {len(stages) - 7} more"


def listed(files: Iterable[str]) -> str:
    """Name files for a sentence."""
    return ", ".join(sorted(files))


def spelled(seconds: float) -> str:
    """Format a short time."""
    return f"{seconds * 1000:,.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
