"""State: what a pipeline holds at one moment, read in one transaction."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from rsq_pipe.engine.keyspace import (
    Keyspace,
    counter_fields,
    drop_counters,
    groups,
    lookups,
    published,
    unknown_counters,
)
from rsq_pipe.engine.state.count_fields import appended, count_fields, packed
from rsq_pipe.engine.state.hold import Hold, held_stages, hold_fields, resumed_fields, times_resumed
from rsq_pipe.engine.state.legible import legible
from rsq_pipe.engine.state.paused import Paused, pause_fields, paused_stages
from rsq_pipe.engine.state.record_counts import to_do
from rsq_pipe.engine.state.source_ends import end_fields, ended_sources
from rsq_pipe.errors import GroupLostError
from rsq_pipe.spec.fusing import closes
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.clock import server_time
from rsq_pipe.streams.snapshot import Snapshot, take


class StageState(Struct, frozen=True):
    """
    Describe one stage at one moment.

    Args:
        lag: Records of its inputs not yet delivered to it; None if the server cannot tell.
        pending: Records delivered but not settled. For packs, the sum of both is exact, the split is not.
        retry: Records waiting for their next attempt.
        dead: Dead letters.
        idle: Whether there is nothing undelivered, pending or waiting.
        open: Open windows, if the stage emits its state when they close.
    """

    lag: int | None
    pending: int
    retry: int
    dead: int
    idle: bool
    open: int = 0

    @property
    def backlog(self) -> int:
        """Records the stage still has to handle; undelivered ones that cannot be counted are left out."""
        return (self.lag or 0) + self.pending + self.retry


class PipelineState(Struct, frozen=True):
    """
    Describe a pipeline at one moment.

    Args:
        stages: By name.
        backlog: Records of a stream that its slowest group still has to handle, by stream key.
        counters: `<stage>:in|out|dropped|stored|retried|dead`, `<stage>:dropped:<reason>` and
            `<stage>:unknown:<key>`, since the pipeline's first run.
        settled: For streams of packs, how many of the records ever appended are not in the backlog.
        paused: Stages that pause because their calls fail in a row.
        held: Stages that are paused until they are resumed.
        resumed: How often stages have been resumed.
        ended: The sources that have ended, and whether they were read whole.
    """

    stages: Mapping[str, StageState]
    backlog: Mapping[str, int]
    counters: Mapping[str, int] = field(default_factory=dict)
    settled: Mapping[str, int] = field(default_factory=dict)
    paused: Mapping[str, Paused] = field(default_factory=dict)
    held: Mapping[str, Hold] = field(default_factory=dict)
    resumed: Mapping[str, int] = field(default_factory=dict)
    ended: Mapping[str, bool] = field(default_factory=dict)

    @property
    def pauses(self) -> Mapping[str, Paused | Hold]:
        """All paused stages, for any reason."""
        return {**self.paused, **self.held}

    @property
    def drained(self) -> bool:
        """Whether no stage has anything to do."""
        return all(state.idle for state in self.stages.values())

    def busy_beside(self, names: Collection[str]) -> Sequence[str]:
        """Name the stages, other than these, that have something to do."""
        return [name for name, stage in self.stages.items() if not stage.idle and name not in names]

    def all_left_by(self, names: Collection[str]) -> Collection[str]:
        """Name those of some stages that have taken all that is left; none if others hold some of it."""
        held = [name for name, stage in self.stages.items() if not stage.idle]
        alone = all(name in names and not self.stages[name].lag for name in held)
        return held if alone else ()


async def read_state(client: StreamClient, graph: Graph, known: PipelineState | None = None) -> PipelineState:
    """
    Read from the server what a pipeline holds.

    Args:
        client, graph: The pipeline.
        known: What it held before, if it seems to be idle: a settlement that counts reasons for drops counts
            records too, so the reasons are read only if records were counted since.

    Raises:
        GroupLostError: A stage's group is gone: its stream was flushed, or the group destroyed.
        StreamError: The server's data of the pipeline cannot be read.

    Redis: XINFO GROUPS, ZCARD, XLEN, HGETALL and HMGET in one MULTI; all keys in one slot. TIME if a stage
        pauses.
    """
    with legible(graph.pipeline, client.channel.address):
        return await _read(client, graph, known)


async def _read(client: StreamClient, graph: Graph, known: PipelineState | None) -> PipelineState:
    keys = Keyspace(graph.pipeline)
    readers = groups(graph)
    snapshot = await take(
        client,
        streams=list({**readers, **dict.fromkeys(published(graph))}),
        sets=[
            *(keys.retry(stage) for stage in graph.stages),
            *(keys.timers(stage) for stage in graph.stages if closes(stage)),
        ],
        lengths=[keys.dlq(stage) for stage in graph.stages],
        table=keys.meta,
        fields=[
            *(*counter_fields(graph), *count_fields(graph), *pause_fields(graph)),
            *(*hold_fields(graph), *resumed_fields(graph), *end_fields(graph)),
        ],
        hashes=_reasons(graph) if known is None else (),
    )
    _check_groups(snapshot, readers)
    counters = {name: int(snapshot.table[name]) for name in counter_fields(graph) if name in snapshot.table}
    if known is not None:
        if not counters.items() <= known.counters.items():  # it moves again: read the reasons as well
            return await _read(client, graph, None)
        counters = {**known.counters, **counters}
    stages = {stage.name: _state(graph, stage.name, snapshot) for stage in graph.stages}
    backlog = _backlog(graph, stages, snapshot, readers)
    settled = {
        stream: int(snapshot.table.get(appended(stream), 0)) - backlog[stream] for stream in packed(graph)
    }
    for stage in graph.stages:
        counters |= drop_counters(stage, snapshot.hashes.get(keys.drops(stage), {}))
    for stage in lookups(graph):
        counters |= unknown_counters(stage, snapshot.hashes.get(keys.unknown(stage), {}))
    pauses, held = await _paused(client, graph, snapshot), held_stages(graph, snapshot.table)
    return PipelineState(
        *(stages, backlog, counters, settled, pauses, held),
        resumed=times_resumed(graph, snapshot.table),
        ended=ended_sources(graph, snapshot.table),
    )


def _check_groups(snapshot: Snapshot, readers: Mapping[str, Sequence[str]]) -> None:
    """Raise GroupLostError if one of the stages has no group any more on a stream that it reads."""
    for stream, names in readers.items():
        for name in names:
            if name not in snapshot.groups[stream]:
                raise lost(stream, name)


async def _paused(client: StreamClient, graph: Graph, snapshot: Snapshot) -> dict[str, Paused]:
    """Read which stages pause, with the times of this machine's clock."""
    if not any(name in snapshot.table for name in pause_fields(graph)):
        return {}
    now = await server_time(client, Keyspace(graph.pipeline).meta)
    ahead = now - time.time()
    pauses = paused_stages(graph, snapshot.table, now)
    return {name: replace(pause, since=pause.since - ahead) for name, pause in pauses.items()}


def _reasons(graph: Graph) -> list[str]:
    """List the hashes that count reasons for drops, and keys that lookups did not find."""
    keys = Keyspace(graph.pipeline)
    return [*map(keys.drops, graph.stages), *map(keys.unknown, lookups(graph))]


def lost(stream: str, group: str) -> GroupLostError:
    """Make the error for a group that is gone."""
    return GroupLostError(
        f"stage {group!r} lost its place: stream {stream!r} has no group {group!r} any more, so it was "
        "flushed or the group destroyed. Nothing is read until you decide: run with --fresh to start "
        f"over, or `redis-cli XGROUP CREATE '{stream}' {group} ID MKSTREAM` with the last id you know to be "
        "done ($ skips all there is, 0 repeats it)",
        stream=stream,
        group=group,
    )


def _state(graph: Graph, name: str, snapshot: Snapshot) -> StageState:
    keys = Keyspace(graph.pipeline)
    stage = graph.stage(name)
    inputs = keys.inputs(stage)
    per_input = [_to_do(snapshot, key, name) for key in inputs]
    lags = [lag for lag, _ in per_input]
    retry = snapshot.sets[keys.retry(stage)]
    undelivered = any(snapshot.undelivered(key, name) for key in inputs)
    return StageState(
        lag=None if None in lags else sum(lag for lag in lags if lag),
        pending=sum(pending for _, pending in per_input),
        retry=retry,
        dead=snapshot.lengths[keys.dlq(stage)],
        idle=not undelivered and not any(snapshot.groups[key][name].pending for key in inputs) and not retry,
        open=snapshot.sets.get(keys.timers(stage), 0),
    )


def _to_do(snapshot: Snapshot, stream: str, name: str) -> tuple[int | None, int]:
    undelivered = snapshot.undelivered(stream, name)
    return to_do(snapshot.table, stream, snapshot.groups[stream][name], undelivered=undelivered)


def _needs(snapshot: Snapshot, stream: str, name: str) -> int:
    """Count the records a group has not finished; unknown ones are left out."""
    lag, pending = _to_do(snapshot, stream, name)
    return (lag or 0) + pending


def _backlog(
    graph: Graph, stages: Mapping[str, StageState], snapshot: Snapshot, readers: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """
    Count, for each stream, the records that its slowest reader has not finished.

    For a published stream, every group is a reader; for others, only the pipeline's own stages.
    """
    keys = Keyspace(graph.pipeline)
    needs = {
        stream: [
            _needs(snapshot, stream, name) + _waiting(keys, graph, stages, stream, name) for name in names
        ]
        for stream, names in readers.items()
    }
    for stream in published(graph):
        own = readers.get(stream, ())
        others = [_needs(snapshot, stream, name) for name in snapshot.groups[stream] if name not in own]
        needs[stream] = needs.get(stream, []) + others
    return {stream: max(counts, default=0) for stream, counts in needs.items()}


def _waiting(keys: Keyspace, graph: Graph, stages: Mapping[str, StageState], stream: str, name: str) -> int:
    """Count a stage's retries as backlog of the streams it reads, so that these fill up if it fails."""
    return 0 if stream == keys.again_stream(graph.stage(name)) else stages[name].retry
