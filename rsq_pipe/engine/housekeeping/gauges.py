"""Gauges: the result of the runner's look, and the age of pending and of waiting entries, for metrics."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rsq_pipe.engine.fusion import fused
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.link import Command
from rsq_pipe.streams.stats import EARLIEST, group_info
from rsq_pipe.telemetry.observer import StageGauges

PERIOD = 1.0
"""Seconds between two measurements."""


async def measure(client: StreamClient, graph: Graph, state: PipelineState) -> dict[str, StageGauges]:
    """
    Measure every stage of a pipeline.

    Raises:
        ServerUnavailableError: The server cannot be reached.

    Redis: the summary form of XPENDING, XINFO GROUPS, then XRANGE of one entry, for each group of a stage
        with work to do; all keys in one slot.
    """
    keys = Keyspace(graph.pipeline)
    busy = [stage for stage in graph.stages if not state.stages[stage.name].idle]
    inputs = [(stage.name, key) for stage in busy for key in keys.inputs(stage)]
    pending, waiting = await _first_entries(client, inputs, keys.meta)
    above = fused(graph)
    oldest_pending, oldest = defaultdict[str, float](float), defaultdict[str, float](float)
    now = time.time()
    for (name, _), delivered, undelivered in zip(inputs, pending, waiting, strict=True):
        oldest_pending[name] = max(oldest_pending[name], _age(delivered, now))
        oldest[name] = max(oldest[name], _age(delivered, now), _age(undelivered, now))
    return {
        stage.name: StageGauges(
            lag=held.lag,
            pending=held.pending,
            retry=held.retry,
            dead=held.dead,
            counters=_counters(state, stage.name),
            oldest_pending=oldest_pending[stage.name],
            oldest=oldest[stage.name],
            fused_with=above.get(stage.name, ""),
            paused=_paused(state, stage.name, now),
        )
        for stage in graph.stages
        for held in (state.stages[stage.name],)
    }


async def _first_entries(
    client: StreamClient, inputs: Sequence[tuple[str, str]], key: str
) -> tuple[list[bytes], list[bytes]]:
    """
    Return the ids of each group's first pending and first undelivered entry; empty if there is none.

    A lost group has none, and the look reports that.
    """
    if not inputs:
        return [], []
    commands: list[Command] = [["XPENDING", stream, group] for group, stream in inputs]
    commands += [["XINFO", "GROUPS", stream] for _, stream in inputs]
    replies = [_unless_refused(reply) for reply in await client.channel.exchange(commands, key=key)]
    pending = [reply[1] if reply and reply[0] else b"" for reply in replies[: len(inputs)]]
    found = [{info.name: info for info in map(group_info, reply)} for reply in replies[len(inputs) :]]
    ranges: list[Command] = [
        ["XRANGE", stream, f"({infos[group].last_delivered_id}" if group in infos else "+", "+", "COUNT", 1]
        for (group, stream), infos in zip(inputs, found, strict=True)
    ]
    entries = [_unless_refused(reply) for reply in await client.channel.exchange(ranges, key=key)]
    return pending, [one[0][0] if one else b"" for one in entries]


def _unless_refused(reply: Any) -> Sequence[Any]:
    return () if isinstance(reply, Exception) else reply


def _age(entry: bytes, now: float) -> float:
    """Return how long ago an entry was written; 0 if there is none, or its id contains no time."""
    written = int(entry.partition(b"-")[0] or 0)
    return max(0.0, now - written / 1000) if written >= EARLIEST else 0.0


def _paused(state: PipelineState, stage: str, now: float) -> float:
    found = state.pauses.get(stage)
    return 0.0 if found is None else max(0.0, now - found.since)


def _counters(state: PipelineState, stage: str) -> dict[str, int]:
    own = f"{stage}:"
    return {name.removeprefix(own): count for name, count in state.counters.items() if name.startswith(own)}
