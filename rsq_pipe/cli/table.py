"""The tables of `run`: what every stage did, while it runs and at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from rsq_pipe.cli.fitting import Fitting
from rsq_pipe.cli.printable import on_one_line
from rsq_pipe.engine.state import PipelineState
from rsq_pipe.engine.summary import StageSummary, Summary
from rsq_pipe.model.counters import COUNTED
from rsq_pipe.spec.graph import Graph


def named(stage: str, above: str | None) -> str:
    """Name a stage, with a mark where it runs in the worker of the stage above."""
    return f"{stage} (fused)" if above else stage


def summary_table(summary: Summary, above: Mapping[str, str]) -> Fitting:
    """Draw what a run did; `above` names the stages that run in another's worker."""
    columns = _columns(summary)
    waits = any(summary.waiting.values())
    rows = []
    for name, stage in summary.stages.items():
        rate = stage.received / summary.seconds if summary.seconds else 0.0
        waiting = [Text(f"{summary.waiting.get(name, 0):,}")] if waits else []
        head = Text(named(name, above.get(name)))
        rows.append((head, *_numbers(stage, columns), Text(f"{rate:,.0f}"), *waiting))
    return Fitting(("stage", *columns, "records/s", *(["waiting"] if waits else [])), rows)


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
    graph: Graph,
    summary: Summary,
    state: PipelineState | None,
    above: Mapping[str, str],
    read: Mapping[str, str] | None = None,
) -> Fitting:
    """Draw what a run has done so far, what every stage has before it, and how far sources are read."""
    columns = _columns(summary)
    rows = []
    for name, stage in summary.stages.items():
        waiting = (read or {}).get(name, "")
        if state is not None and graph.stage(name).verb != "source":
            waiting = f"{state.stages[name].backlog:,}"
        rows.append((Text(named(name, above.get(name))), *_numbers(stage, columns), Text(waiting)))
    return Fitting(("stage", *columns, "waiting"), rows)


def _columns(summary: Summary) -> tuple[str, ...]:
    """Name the columns; few pipelines have a stage that stores anything."""
    stores = any(stage.stored for stage in summary.stages.values())
    return COUNTED if stores else tuple(name for name in COUNTED if name != "stored")


def _numbers(stage: StageSummary, columns: Sequence[str]) -> list[Text]:
    values = (stage.received, stage.emitted, stage.dropped, stage.stored, stage.retried, stage.dead)
    found = dict(zip(COUNTED, values, strict=True))
    return [Text(f"{found[name]:,}", style=_style(name, found[name])) for name in columns]


def _style(column: str, value: int) -> str:
    if not value:
        return "dim"
    return {"dead": "bold red", "retried": "yellow"}.get(column, "")
