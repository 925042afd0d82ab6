"""Waterfall: a journey drawn in the terminal, a line a step, time to the right."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from rsq_pipe.cli.printable import on_one_line
from rsq_pipe.ops.trace.step import Journey, Step

WIDTH = 36
"""Characters the whole time takes."""

_COLOURS = {"dead-lettered": "red", "retried": "yellow", "to be retried": "yellow", "dropped": "dim"}


def waterfall(journey: Journey) -> Table:
    """Draw a journey: dots while the record waits, bars while a stage has it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage", no_wrap=True)
    for column in ("wait", "run", "attempt"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column(_scale(journey), min_width=WIDTH, overflow="fold")
    several = len({step.rid for step in journey.steps}) > 1
    for step in journey.steps:
        stage = f"{step.stage} {step.rid}" if several else step.stage
        outcome = Text(on_one_line(step.outcome), style=_COLOURS.get(step.outcome, ""))
        attempt = str(step.attempt) if step.attempt else ""
        row = (on_one_line(stage), _duration(step.waited), _duration(step.ran), attempt)
        table.add_row(*map(Text, row), outcome, Text(_bar(journey, step)))
        for remark in filter(None, (step.error, step.note)):
            table.add_row("", "", "", "", "", Text(on_one_line(_short(remark)), style="dim"))
    return table


def _scale(journey: Journey) -> str:
    began, ended = journey.span
    total = _duration(ended - began)
    return f"0{total:>{WIDTH - 1}}"


def _bar(journey: Journey, step: Step) -> str:
    began, ended = journey.span
    total = (ended - began) or 1.0

    def place(time: float) -> int:
        return round(max(0.0, min(1.0, (time - began) / total)) * (WIDTH - 1))

    end = place(step.ended or step.at)
    start = place(step.began) if step.began else end
    called = place(step.at - step.waited) if step.waited and step.began else start
    return " " * called + "·" * (start - called) + "█" * (end - start + 1)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
