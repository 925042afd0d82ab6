"""StageStatus: the status of one stage, from a snapshot of the pipeline and of the stage's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from rsq_pipe.engine.fusion import fused
from rsq_pipe.engine.keyspace import Keyspace, group_mark
from rsq_pipe.engine.pauses.stale import stale_stages
from rsq_pipe.engine.state.hold import Hold, held_stages
from rsq_pipe.engine.state.paused import Paused, paused_stages
from rsq_pipe.engine.summary import by_frequency
from rsq_pipe.model.counters import COUNTED, finished
from rsq_pipe.ops.inputs import InputState, is_alive, read_input
from rsq_pipe.ops.limited import StageLimit, limited_by
from rsq_pipe.ops.memories import StageMemory, memories
from rsq_pipe.ops.room import awaited_readers
from rsq_pipe.ops.to_do import to_do_of
from rsq_pipe.ops.windows import StageWindows, stage_windows
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.snapshot import Snapshot

State = Literal["ok", "new", "lost"]


class StagePause(Struct, frozen=True):
    """
    Describe why a stage pauses, or uses an old table.

    Args:
        why: The last error of its calls, or another reason to pause; or the error of the new table.
        since: When that began, in seconds since 1970.
        seconds: How long ago that was.
        held: Whether it was paused by hand or for its dead letters, and resumes only by hand.
    """

    why: str
    since: float
    seconds: float
    held: bool = False


class StageStatus(Struct, frozen=True):
    """
    Describe one stage at one moment.

    Args:
        name: The stage.
        verb: Its verb.
        state: `new` before its first run, `lost` if its place in an input is gone, otherwise `ok`.
        lag: Records not yet delivered to it; None if the server cannot tell.
        lag_at_most: An upper limit of the lag, if it is not known.
        pending: Records delivered and not settled. With packs, the sum of lag and pending is exact, but not
            the split between them.
        oldest_seconds: Age of the oldest record it has not settled, since it was written.
        oldest_pending_seconds: Age of the oldest delivered one.
        retry: Records waiting for their next attempt.
        dead: Dead letters in its queue.
        alive: Consumers that are alive.
        gone: Consumers that have records in flight and whose process is gone, or silent for longer than
            `reclaim: idle`.
        counters: Records `in`, `out`, `dropped`, `stored`, `retried`, `dead`, since the pipeline's first run.
        drops: Reason -> how many records were dropped for it, most frequent first.
        unknown: Key that its lookup did not find -> how many records had it, most frequent first.
        rate: Records settled per second since the previous look; None for a first look.
        fused: The stage above in whose worker it runs if one process runs both; None if it never does.
        paused: Why it pauses, and since when; None if it does not.
        limited: The `rate` that it waits for now; None if it does not.
        stale: Why its lookup uses an old table, and since when; None if it does not.
        remembers: The number of keys in its state; None for a stage without state.
        windows: The open windows of an `aggregate`, and its watermark; None for others.
        again: How many of its waiting records are due retries or replays.
        waits_for: Stages that have no room for its output: `max_backlog` records are before them.
    """

    name: str
    verb: str
    state: State
    lag: int | None
    lag_at_most: int
    pending: int
    oldest_seconds: float | None
    oldest_pending_seconds: float | None
    retry: int
    dead: int
    alive: int
    gone: int
    counters: Mapping[str, int]
    drops: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)
    rate: float | None = None
    fused: str | None = None
    paused: StagePause | None = None
    limited: StageLimit | None = None
    stale: StagePause | None = None
    remembers: StageMemory | None = None
    windows: StageWindows | None = None
    again: int = 0
    waits_for: tuple[str, ...] = ()

    @property
    def backlog(self) -> int:
        """Records it still has to handle; if the server cannot count them, the upper limit."""
        return (self.lag_at_most if self.lag is None else self.lag) + self.pending + self.retry

    @property
    def done(self) -> int:
        """Records it has finished, however many attempts each took; for a source, those it read."""
        return finished(self.counters.__getitem__, is_source=self.verb == "source")


async def stage_statuses(
    client: StreamClient, graph: Graph, shot: Snapshot, *, runs: Sequence[str], now: float
) -> tuple[StageStatus, ...]:
    """
    Return the status of each stage.

    Args:
        client: The server.
        graph: The pipeline.
        shot: The server's data of it.
        runs: Names of the processes that have shown a sign of life.
        now: The server's clock.

    Redis: XINFO CONSUMERS, XPENDING and XRANGE of one entry per group; GET per stage with a `rate`.
    """
    keys = Keyspace(graph.pipeline)
    above = fused(graph)
    paused, stale = _pauses(held_stages(graph, shot.table), now, held=True), dict[str, StagePause]()
    if runs:  # what a process has written remains for a while after it
        paused = _pauses(paused_stages(graph, shot.table, now), now) | paused
        stale = _pauses(stale_stages(graph, shot.table, now), now)
    waits_for = awaited_readers(graph, shot) if runs else {}
    remembers, windows = memories(graph, shot), stage_windows(graph, shot, now)
    found = []
    for stage in graph.stages:
        inputs = [
            await read_input(client, key, stage.name, shot.groups[key][stage.name].last_delivered_id)
            for key in keys.inputs(stage)
            if stage.name in shot.groups[key]
        ]
        found.append(
            replace(
                _counted(graph, stage, shot=shot, inputs=inputs, runs=runs, now=now),
                fused=above.get(stage.name),
                paused=paused.get(stage.name),
                limited=stage.rate and await limited_by(client, stage.rate, keys.rate(stage), now),
                stale=stale.get(stage.name),
                remembers=remembers.get(stage.name),
                windows=windows.get(stage.name),
                waits_for=waits_for.get(stage.name, ()),
            )
        )
    return tuple(found)


def new_stages(graph: Graph) -> tuple[StageStatus, ...]:
    """Describe the stages of a pipeline that never ran."""
    above = fused(graph)
    return tuple(
        StageStatus(
            *(stage.name, stage.verb, "new", 0, 0, 0, None, None, 0, 0, 0, 0),
            counters=dict.fromkeys(COUNTED, 0),
            fused=above.get(stage.name),
        )
        for stage in graph.stages
    )


def _pauses(found: Mapping[str, Paused | Hold], now: float, *, held: bool = False) -> dict[str, StagePause]:
    return {
        name: StagePause(one.why, one.since, max(0.0, now - one.since), held=held)
        for name, one in found.items()
    }


def _counted(
    graph: Graph,
    stage: Stage,
    *,
    shot: Snapshot,
    inputs: Sequence[InputState],
    runs: Sequence[str],
    now: float,
) -> StageStatus:
    keys = Keyspace(graph.pipeline)
    found = [to_do_of(shot, key, stage.name) for key in keys.inputs(stage)]
    lags = [lag for lag, _, _ in found]
    alive, holders = _consumers(inputs, runs, graph.reclaim_idle)
    pending_since = [state.oldest_pending for state in inputs]
    return StageStatus(
        name=stage.name,
        verb=stage.verb,
        state=_state(keys, stage, shot),
        lag=None if None in lags else sum(lag for lag in lags if lag),
        lag_at_most=sum(most if lag is None else lag for lag, _, most in found),
        pending=sum(pending for _, pending, _ in found),
        oldest_seconds=_age([*pending_since, *(state.oldest_undelivered for state in inputs)], now),
        oldest_pending_seconds=_age(pending_since, now),
        retry=shot.sets[keys.retry(stage)],
        dead=shot.lengths[keys.dlq(stage)],
        alive=len(alive),
        gone=len(holders - alive),
        counters={name: int(shot.table.get(f"{stage.name}:{name}", 0)) for name in COUNTED},
        drops=_frequent(shot, keys.drops(stage)),
        unknown=_frequent(shot, keys.unknown(stage)),
        again=sum((lag or 0) + pending for lag, pending, _ in found[:1]),
    )


def _consumers(
    inputs: Sequence[InputState], runs: Sequence[str], patience: float
) -> tuple[set[str], set[str]]:
    """
    Name the consumers that are alive, and those that have records in flight.

    A worker reads several inputs under one name, and is alive if it is alive on any of them.
    """
    consumers = [consumer for state in inputs for consumer in state.consumers]
    alive = {consumer.name for consumer in consumers if is_alive(consumer, runs, patience)}
    return alive, {consumer.name for consumer in consumers if consumer.pending}


def _frequent(shot: Snapshot, key: str) -> dict[str, int]:
    return by_frequency({name: int(n) for name, n in shot.hashes.get(key, {}).items()})


def _state(keys: Keyspace, stage: Stage, shot: Snapshot) -> State:
    missing = [key for key in keys.inputs(stage) if stage.name not in shot.groups[key]]
    if any(group_mark(stage.name, key) in shot.table for key in missing):
        return "lost"
    return "new" if missing or "spec" not in shot.table else "ok"


def _age(written: Sequence[int | None], now: float) -> float | None:
    found = [when for when in written if when is not None]
    return max(0.0, now - min(found) / 1000) if found else None
