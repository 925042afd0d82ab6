"""Waterfall: a trace drawn in the terminal, one line per step, time to the right."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich.table import Table
from rich.text import Text

from rsq_pipe.cli.output.printable import on_one_line
from rsq_pipe.ops.trace.step import DEAD, RecordTrace, Step

WIDTH = 36
"""Maximum characters of a time line."""

_COLOURS = {DEAD: "red", "retried": "yellow", "to be retried": "yellow"} | dict.fromkeys(
    ("dropped", "stored"), "dim"
)


def waterfall(trace: RecordTrace) -> Table:
    """Draw a trace: dots while the record waits, bars while a stage has it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage", no_wrap=True)
    known = [name for name, is_shown in _NUMBERS.items() if any(map(is_shown, trace.steps))]
    for name in known:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column(_scale(trace), min_width=WIDTH, overflow="fold")
    several = len({step.rid for step in trace.steps}) > 1
    for step in trace.steps:
        stage = f"{step.stage} {step.rid}" if several else step.stage
        outcome = Text(on_one_line(step.outcome), style=_COLOURS.get(step.outcome, ""))
        numbers = [Text(_NUMBERS[name](step)) for name in known]
        table.add_row(Text(on_one_line(stage)), *numbers, outcome, Text(_bar(trace, step)))
        # The command that shows a dead letter is printed below, where it is not cut.
        for remark in filter(None, (step.error, "" if step.outcome == DEAD else step.note)):
            table.add_row(*[""] * (2 + len(known)), Text(on_one_line(_short(remark)), style="dim"))
    return table


def _scale(trace: RecordTrace) -> str:
    began, ended = trace.span
    return f"0{_duration(ended - began):>{WIDTH - 1}}" if ended > began else ""


def _bar(trace: RecordTrace, step: Step) -> str:
    began, ended = trace.span
    total = ended - began
    if not total:
        return ""

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


_NUMBERS: Mapping[str, Callable[[Step], str]] = {
    "wait": lambda step: _duration(step.waited),
    "run": lambda step: _duration(step.ran),
    "attempt": lambda step: str(step.attempt or ""),
}
"""Columns that are drawn if any step has them: a journal notes only how each stage ended."""
