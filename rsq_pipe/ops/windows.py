"""Windows: how many windows of a stage are open, and its watermark."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.model.state import KEYS
from rsq_pipe.spec.above import waits_for_end
from rsq_pipe.spec.fusing import closes
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.stages.aggregate import Aggregation
from rsq_pipe.streams.snapshot import Snapshot
from rsq_pipe.verbs.windows.moments import spelled
from rsq_pipe.verbs.windows.window_state import CLOSED, seen


class StageWindows(Struct, frozen=True):
    """
    Describe the windows of a stage at one moment.

    Args:
        open: Windows that hold any groups.
        groups: Groups in all of them together.
        watermark: The time before which only late records are expected; None if no record has come yet, or
            windows wait for the end of all input.
        behind_seconds: How far the watermark is behind the clock.
        closed: The time up to which windows are closed; None like `watermark`.
    """

    open: int
    groups: int
    watermark: str | None = None
    behind_seconds: float | None = None
    closed: str | None = None


def with_windows(graph: Graph) -> list[Stage]:
    """List the stages that have windows, or groups that wait for the end of all input."""
    return [stage for stage in graph.stages if closes(stage) and isinstance(stage.options, Aggregation)]


def window_timers(graph: Graph) -> list[str]:
    """Name the sorted sets that count open windows; the other counts are in the hashes of their states."""
    keys = Keyspace(graph.pipeline)
    return [keys.timers(stage) for stage in with_windows(graph)]


def stage_windows(graph: Graph, shot: Snapshot, now: float) -> dict[str, StageWindows]:
    """Describe the windows of each stage that has any, by name."""
    keys = Keyspace(graph.pipeline)
    return {
        stage.name: _windows(graph, stage, shot.sets[keys.timers(stage)], shot.hashes[keys.state(stage)], now)
        for stage in with_windows(graph)
    }


def _windows(graph: Graph, stage: Stage, count: int, scalars: Mapping[str, str], now: float) -> StageWindows:
    of: Aggregation = stage.options
    groups = int(scalars.get(KEYS, 0))
    if of.windows is None:
        return StageWindows(count, groups)
    closed = spelled(int(scalars[CLOSED])) if CLOSED in scalars else None
    latest = [scalars.get(seen(ref.name)) for ref in stage.inputs]
    reached = min((int(float(at)) for at in latest if at is not None), default=None)
    if reached is None or waits_for_end(graph, stage):
        return StageWindows(count, groups, closed=closed)
    reached -= of.windows.late or 0
    return StageWindows(count, groups, spelled(reached), now - reached / 1000, closed)
