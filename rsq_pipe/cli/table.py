"""The tables of `run`: what every stage did, while it runs and at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from rsq_pipe.cli.printable import on_one_line
from rsq_pipe.engine.state import PipelineState
from rsq_pipe.engine.summary import StageSummary, Summary
from rsq_pipe.spec.graph import Graph

_COLUMNS = ("in", "out", "dropped", "stored", "retried", "dead")


def named(stage: str, above: str | None) -> str:
    """Name a stage, with a mark where it runs in the worker of the stage above."""
    return f"{stage} (fused)" if above else stage


def summary_table(summary: Summary, above: Mapping[str, str]) -> Table:
    """Draw what a run did; `above` names the stages that run in another's worker."""
    columns = _columns(summary)
    waits = any(summary.waiting.values())
    table = _table((*columns, "records/s", *(["waiting"] if waits else [])))
    for name, stage in summary.stages.items():
        rate = stage.received / summary.seconds if summary.seconds else 0.0
        waiting = [f"{summary.waiting.get(name, 0):,}"] if waits else []
        table.add_row(named(name, above.get(name)), *_numbers(stage, columns), f"{rate:,.0f}", *waiting)
    return table


def drop_lines(drops: Mapping[str, Mapping[str, int]]) -> list[Text]:
    """Say why records were dropped, a line a stage that dropped any."""
    return [
        Text(
            f"{stage} dropped: "
            + ", ".join(f"{count:,} {on_one_line(name)}" for name, count in names.items())
        )
        for stage, names in drops.items()
        if names
    ]


def unknown_lines(unknown: Mapping[str, Mapping[str, int]]) -> list[Text]:
    """Say which keys lookups did not find, a line a stage that missed any."""
    return [
        Text(
            f"{stage} found nothing for: "
            + ", ".join(f"{on_one_line(key)} ({count:,})" for key, count in keys.items())
        )
        for stage, keys in unknown.items()
        if keys
    ]


def progress_table(
    graph: Graph, summary: Summary, state: PipelineState | None, above: Mapping[str, str]
) -> Table:
    """Draw what a run has done so far, and what every stage still has before it."""
    columns = _columns(summary)
    table = _table((*columns, "waiting"))
    for name, stage in summary.stages.items():
        waiting = ""
        if state is not None and graph.stage(name).verb != "source":
            waiting = f"{state.stages[name].backlog:,}"
        table.add_row(named(name, above.get(name)), *_numbers(stage, columns), waiting)
    return table


def _table(columns: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _columns(summary: Summary) -> tuple[str, ...]:
    """Name the columns; few pipelines have a stage that stores anything."""
    stores = any(stage.stored for stage in summary.stages.values())
    return _COLUMNS if stores else tuple(name for name in _COLUMNS if name != "stored")


def _numbers(stage: StageSummary, columns: Sequence[str]) -> list[Text]:
    values = (stage.received, stage.emitted, stage.dropped, stage.stored, stage.retried, stage.dead)
    found = dict(zip(_COLUMNS, values, strict=True))
    return [Text(f"{found[name]:,}", style=_style(name, found[name])) for name in columns]


def _style(column: str, value: int) -> str:
    if not value:
        return "dim"
    return {"dead": "bold red", "retried": "yellow"}.get(column, "")
