"""Console: where output for people goes; tables of failures, and remarks on dead letters."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from rsq_pipe.cli.output.note import console_for
from rsq_pipe.cli.output.printable import printable, remark
from rsq_pipe.ops.dead_letters.failure_groups import FailureGroup
from rsq_pipe.ops.dead_letters.selection import Sieve
from rsq_pipe.units import counted

ROOMY = 150
"""Columns from which a group fits on one line."""


def console(*, stderr: bool = False) -> Console:
    """Create a console on standard output, or on standard error; without a terminal, nothing is wrapped."""
    return console_for(sys.stderr if stderr else sys.stdout, markup=False)


def failures(groups: Iterable[FailureGroup], screen: Console) -> RenderableType:
    """Format groups: one per row if there is room, otherwise one per paragraph."""
    return _table(groups) if screen.width >= ROOMY else _paragraphs(groups)


def _paragraphs(groups: Iterable[FailureGroup]) -> Text:
    text = Text()
    for group in groups:
        text.append(printable(group.stage), style="bold")
        text.append(f"  {group.count:,} x {printable(group.reason or '-')}: {printable(_error(group))}\n")
        times = f"{moment(group.first)} to {moment(group.last)}"
        text.append(f"    {times}, example {printable(group.example)}\n", style="dim")
    text.rstrip()
    return text


def _error(group: FailureGroup) -> str:
    return ": ".join(filter(None, (group.error_type, group.message))) or "-"


def _table(groups: Iterable[FailureGroup]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage", no_wrap=True)
    table.add_column("count", justify="right")
    table.add_column("reason", no_wrap=True)
    table.add_column("error", overflow="fold")
    table.add_column("first", no_wrap=True)
    table.add_column("last", no_wrap=True)
    table.add_column("example", no_wrap=True)
    for group in groups:
        cells = (group.stage, f"{group.count:,}", group.reason or "-", _error(group))
        times = (moment(group.first), moment(group.last))
        table.add_row(*(Text(printable(cell)) for cell in (*cells, *times, group.example)))
    return table


def moment(when: datetime) -> str:
    """Format a time in UTC, to the second."""
    return f"{when:%Y-%m-%d %H:%M:%S}Z"


def print_passed_over(sieve: Sieve) -> None:
    """Report dead letters for which `--where` could not be evaluated, so that a misspelt field is noticed."""
    if sieve.passed_over:
        remark(f"{how_many(sieve.passed_over)} passed over, since --where has no value: {sieve.why}")


def print_none(pipeline: str, stages: Sequence[str], total: int) -> None:
    """Report that nothing was found: either nothing matches, or there is nothing."""
    what = f"no dead letter matches, of {total:,}" if total else "no dead letters"
    where = f" of stage {', '.join(stages)}" if stages else ""
    console().print(printable(f"{pipeline}: {what}{where}"))


def how_many(count: int) -> str:
    """Count dead letters in words."""
    return counted(count, "dead letter")
