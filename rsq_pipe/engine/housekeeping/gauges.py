"""Gauges: the result of the runner's look, and the age of pending entries, for metrics."""

from __future__ import annotations

import time
from typing import Any

from rsq_pipe.engine.fusion import fused
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.telemetry.observer import StageGauges

PERIOD = 1.0
"""Seconds between two measurements."""


async def measure(client: StreamClient, graph: Graph, state: PipelineState) -> dict[str, StageGauges]:
    """
    Measure every stage of a pipeline.

    Raises:
        ServerUnavailableError: The server cannot be reached.

    Redis: the summary form of XPENDING, for each group of a stage with work to do; all keys in one slot.
    """
    keys = Keyspace(graph.pipeline)
    busy = [stage for stage in graph.stages if not state.stages[stage.name].idle]
    inputs = [(stage.name, key) for stage in busy for key in keys.inputs(stage)]
    commands = [["XPENDING", key, name] for name, key in inputs]
    replies = await client.channel.exchange(commands, key=keys.meta) if commands else []
    above = fused(graph)
    oldest: dict[str, float] = {}
    now = time.time()
    for (name, _), reply in zip(inputs, replies, strict=True):
        oldest[name] = max(oldest.get(name, 0.0), _age(reply, now))
    return {
        stage.name: StageGauges(
            lag=held.lag,
            pending=held.pending,
            retry=held.retry,
            dead=held.dead,
            counters=_counters(state, stage.name),
            oldest_pending=oldest.get(stage.name, 0.0),
            fused_with=above.get(stage.name, ""),
            paused=_paused(state, stage.name, now),
        )
        for stage in graph.stages
        for held in (state.stages[stage.name],)
    }


def _age(reply: Any, now: float) -> float:
    """Return the age of the first pending entry; a lost group has none, and the look reports that."""
    if isinstance(reply, Exception) or not reply[0]:
        return 0.0
    return max(0.0, now - int(reply[1].partition(b"-")[0]) / 1000)


def _paused(state: PipelineState, stage: str, now: float) -> float:
    found = state.pauses.get(stage)
    return 0.0 if found is None else max(0.0, now - found.since)


def _counters(state: PipelineState, stage: str) -> dict[str, int]:
    own = f"{stage}:"
    return {name.removeprefix(own): count for name, count in state.counters.items() if name.startswith(own)}
