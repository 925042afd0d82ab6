"""ClosedWindows: which dead letters of an aggregate would only be dropped as late if they were replayed."""

from __future__ import annotations

import asyncio
from typing import Any

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import RsqPipeError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load_former
from rsq_pipe.spec.stages.aggregate import LATE, Aggregation
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.verbs.windows.arguments import Failed
from rsq_pipe.verbs.windows.event_times import EventTimes
from rsq_pipe.verbs.windows.moments import spelled
from rsq_pipe.verbs.windows.window_state import CLOSED


class ClosedWindows:
    """
    Know up to when the windows of a stage are closed, whose late records nobody reads.

    Args:
        stage: The stage's name.
        of: Its windows, and the time of a record.
        until: Up to when they are closed, in milliseconds since 1970.
    """

    def __init__(self, stage: str, of: Aggregation, until: int) -> None:
        self._stage = stage
        self._times = EventTimes(of, stage)
        self._until = until

    def obstacle(self, record: dict[str, Any] | None) -> str:
        """Return why a record would be lost; empty if a window takes it, or if it fails again."""
        failed: Failed = {}
        times = self._times.of([record], failed) if record is not None else None
        if not times or failed or self._times.windows(times, self._until)[0]:
            return ""
        port = f"{self._stage}.late"
        return (
            f"the windows of {spelled(times[0])} are closed, and nobody reads `{port}`, so it would be "
            f"dropped as late; add a stage with `from: {port}`, or start over with --fresh"
        )


async def closed_windows(client: StreamClient, graph: Graph, name: str) -> ClosedWindows | None:
    """
    Find out which windows of a stage are closed; None if it has none, or its late records are read.

    Redis: HGET.
    """
    stage = graph.stage(name)
    of = stage.options
    if not isinstance(of, Aggregation) or of.windows is None or LATE in stage.outputs:
        return None
    state = Keyspace(graph.pipeline).state(stage)
    until = await client.channel.execute("HGET", state, CLOSED, key=state)
    if until is not None and of.on is None:
        of = await asyncio.to_thread(_as_written, graph, name) or of
    return None if until is None else ClosedWindows(name, of, int(until))


def _as_written(graph: Graph, name: str) -> Aggregation | None:
    """Read what a graph lacks that was rebuilt from what the last run left: the time of a record."""
    try:
        of = load_former(graph.text, graph).stage(name).options
    except (RsqPipeError, KeyError):
        return None
    return of if isinstance(of, Aggregation) else None
