"""Status: how a pipeline is doing, read without changing anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field, to_builtins
from msgspec.structs import replace

from rsq_pipe.engine.changes.change import StageChange
from rsq_pipe.engine.changes.changeover import plan
from rsq_pipe.engine.count_fields import appended, count_fields
from rsq_pipe.engine.fusion import fused
from rsq_pipe.engine.hold import held_stages, hold_fields
from rsq_pipe.engine.keyspace import Keyspace, counter_fields, group_mark, group_marks, groups, lookups
from rsq_pipe.engine.last_failure import FIELD, UNREAD
from rsq_pipe.engine.legible import legible
from rsq_pipe.engine.located import located
from rsq_pipe.engine.paused import pause_fields, paused_stages
from rsq_pipe.engine.presence import Presence
from rsq_pipe.engine.record_counts import to_do
from rsq_pipe.engine.source_ends import awaited_sources, end_fields
from rsq_pipe.engine.stale import stale_fields, stale_stages
from rsq_pipe.engine.summary import by_frequency
from rsq_pipe.errors import SettleError
from rsq_pipe.model.counters import COUNTED, finished
from rsq_pipe.ops.failed_run import FailedRun, failed_run
from rsq_pipe.ops.inputs import InputState, is_alive, look_at
from rsq_pipe.ops.limited import StageLimit, limited_by
from rsq_pipe.ops.memories import StageMemory, memories, state_hashes
from rsq_pipe.ops.windows import StageWindows, stage_windows, window_timers
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.clock import server_time
from rsq_pipe.streams.memory import Memory, memory_of, refusal_to_write
from rsq_pipe.streams.snapshot import Snapshot, take

State = Literal["ok", "new", "lost"]


class StagePause(Struct, frozen=True):
    """
    Say why a stage pauses, or uses an old table.

    Args:
        why: The last error of its calls, or another reason to pause; or what is wrong with the new table.
        since: Since when, in seconds since 1970.
        seconds: How long ago that was.
        held: Whether it was paused by hand or for its dead letters, and goes on only when resumed.
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
        verb: What it does.
        state: `new` before its first run, `lost` if its place in an input is gone, else `ok`.
        lag: Records not yet delivered to it; None if the server cannot tell.
        lag_at_most: An upper limit of the lag, if it is not known.
        pending: Records delivered and not settled. With packs, the sum of lag and pending is exact, but not
            the split between them.
        oldest_seconds: Age of the oldest record it has not settled, since it was written.
        oldest_pending_seconds: Age of the oldest delivered one.
        retry: Records waiting for their next attempt.
        dead: Dead letters in its queue.
        alive: Consumers that work.
        gone: Consumers that have records in flight and whose process is gone, or silent for longer than
            `reclaim: idle`.
        counters: Records `in`, `out`, `dropped`, `stored`, `retried`, `dead`, since the pipeline's first run.
        drops: Reason -> how many records were dropped for it, most frequent first.
        unknown: Key that its lookup did not find -> how many records had it, likewise.
        rate: Records settled per second since the previous look; None for a first look.
        fused: The stage above in whose worker it runs if one process runs both; None if it never does.
        paused: Why it pauses, and since when; None if it does not.
        limited: Which `rate` holds it back now; None if none does.
        stale: Why its lookup uses an old table, and since when; None if it does not.
        remembers: How many keys it remembers; None for a stage without state.
        windows: The open windows of an `aggregate`, and its watermark; None for others.
        again: How many of its waiting records come again: retries that are due, and replays.
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

    @property
    def backlog(self) -> int:
        """Records it still has to handle; if the server cannot count them, the upper limit."""
        return (self.lag_at_most if self.lag is None else self.lag) + self.pending + self.retry

    @property
    def done(self) -> int:
        """Records it has finished, however many attempts each took; for a source, those it read."""
        return finished(self.counters.__getitem__, is_source=self.verb == "source")


class PipelineStatus(Struct, frozen=True):
    """
    Describe a pipeline at one moment.

    Args:
        pipeline: Its name.
        server: The server's address, without credentials; empty if there is none to ask.
        at: The server's clock, seconds since 1970.
        ran: Whether it has ever run there.
        changed: Whether the file differs from the one that ran last.
        runs: Processes that run it now.
        stages: In the pipeline's order.
        memory: How full the server is; None if it does not say.
        gone: Stages that are no longer in the file but still hold something.
        plan: What a run of the current file would do, in a sentence; empty if it would just go on.
        refusal: Why the server refuses writes, in its words, as when its disk is full; empty if it does not.
        failed: The error that ended the last run; None if it did not end with one.
        unread: Whether the last run ended before all sources did, or this one has not reached their end.
        awaits: Sources that have not ended, while runs that read others have, and wait for them.
    """

    pipeline: str
    server: str
    at: float
    ran: bool
    changed: bool
    runs: tuple[str, ...]
    stages: tuple[StageStatus, ...]
    memory: Memory | None = None
    gone: tuple[StageChange, ...] = ()
    plan: str = ""
    refusal: str = ""
    failed: FailedRun | None = None
    unread: bool = False
    awaits: tuple[str, ...] = ()

    @property
    def full(self) -> bool:
        """Whether the server has no room for what the sources bring."""
        return self.memory is not None and self.memory.is_full

    @property
    def drained(self) -> bool:
        """Whether nothing waits anywhere, not even in open windows; dead letters do not count."""
        if self.full and self.runs:  # what waits is then inside a source, where no stream shows it
            return False
        if any(change.holds.waits for change in self.gone):
            return False
        if any(stage.windows is not None and stage.windows.open for stage in self.stages):
            return False
        return all(
            stage.lag == stage.pending == stage.retry == 0 and stage.state != "lost" for stage in self.stages
        )

    def since(self, before: PipelineStatus) -> PipelineStatus:
        """Add the rates since an earlier look."""
        seconds = self.at - before.at
        if seconds <= 0:
            return self
        earlier = {stage.name: stage.done for stage in before.stages}
        stages = (
            # Never below zero: a `--fresh` in between has reset the counters.
            replace(stage, rate=max(0.0, (stage.done - earlier.get(stage.name, 0)) / seconds))
            for stage in self.stages
        )
        return replace(self, stages=tuple(stages))

    def only(self, names: Sequence[str]) -> PipelineStatus:
        """Leave out all but some stages; none named leaves all."""
        chosen = tuple(stage for stage in self.stages if not names or stage.name in names)
        return replace(self, stages=chosen)

    def document(self) -> dict[str, Any]:
        """Give the keys of `--json`, which stay as they are from one release to the next."""
        return {**to_builtins(self), "full": self.full, "drained": self.drained}


async def look(client: StreamClient, graph: Graph, *, as_run: bool = False) -> PipelineStatus:
    """
    Ask the server how a pipeline is doing.

    Args:
        client: The server.
        graph: The pipeline.
        as_run: Whether the graph is that of the last run, rather than a file that may differ from it.

    Returns:
        All stages, even of a pipeline that never ran: looking creates nothing.

    Raises:
        ServerUnavailableError: The server cannot be reached.
        StreamError: What it holds for the pipeline cannot be read.

    Redis: MULTI as the runner's look; XINFO CONSUMERS, XPENDING and XRANGE of one entry per group;
        ZRANGEBYSCORE; GET; INFO and PING, where the user may.
    """
    with legible(graph.pipeline, client.channel.address):
        try:
            return await _look(client, graph, as_run=as_run)
        except SettleError as exc:
            raise await located(client, graph, exc) from exc.__cause__


async def _look(client: StreamClient, graph: Graph, *, as_run: bool) -> PipelineStatus:
    keys = Keyspace(graph.pipeline)
    readers = groups(graph)
    timers = window_timers(graph)
    shot = await take(
        client,
        streams=list(readers),
        sets=[*(keys.retry(stage) for stage in graph.stages), *timers],
        lengths=[*(keys.dlq(stage) for stage in graph.stages), *readers],
        table=keys.meta,
        fields=[
            *("spec", FIELD, UNREAD, *counter_fields(graph), *group_marks(graph), *end_fields(graph)),
            *(*count_fields(graph), *pause_fields(graph), *stale_fields(graph), *hold_fields(graph)),
        ],
        hashes=[
            *(keys.drops(stage) for stage in graph.stages),
            *(*map(keys.unknown, lookups(graph)), *state_hashes(graph)),
        ],
    )
    found = None if as_run else await plan(client, graph)
    now = await server_time(client, keys.meta)
    presence = Presence(client, graph.pipeline)
    runs, dead = await presence.others(), await presence.dead()
    above = fused(graph)
    stages = []
    pauses = {
        name: StagePause(paused.why, paused.since, max(0.0, now - paused.since))
        for name, paused in paused_stages(graph, shot.table, now).items()
    }
    for name, hold in held_stages(graph, shot.table).items():
        pauses[name] = StagePause(hold.why, hold.since, max(0.0, now - hold.since), held=True)
    old = {
        name: StagePause(stale.why, stale.since, max(0.0, now - stale.since))
        for name, stale in stale_stages(graph, shot.table, now).items()
    }
    held = memories(graph, shot)
    windows = stage_windows(graph, shot, now)
    for stage in graph.stages:
        inputs = [
            await look_at(client, key, stage.name, shot.groups[key][stage.name].last_delivered_id)
            for key in keys.inputs(stage)
            if stage.name in shot.groups[key]
        ]
        seen = _stage(graph, stage, shot=shot, inputs=inputs, runs=runs, now=now)
        limited = None if stage.rate is None else await limited_by(client, stage.rate, keys.rate(stage), now)
        seen = replace(seen, paused=pauses.get(stage.name), limited=limited, stale=old.get(stage.name))
        seen = replace(seen, remembers=held.get(stage.name), windows=windows.get(stage.name))
        stages.append(replace(seen, fused=above.get(stage.name)))
    return PipelineStatus(
        pipeline=graph.pipeline,
        server=client.channel.address,
        at=now,
        ran="spec" in shot.table,
        changed=not as_run and shot.table.get("spec", graph.spec_hash) != graph.spec_hash,
        runs=tuple(runs),
        stages=tuple(stages),
        memory=await memory_of(client, keys.meta),
        gone=tuple(change for change in found.gone if not change.holds.is_empty) if found else (),
        plan=found.outlook if found else "",
        refusal=await refusal_to_write(client, keys.meta),
        failed=failed_run(shot.table, dead, now),
        unread=UNREAD in shot.table,
        awaits=awaited_sources(graph, shot.table) if runs else (),
    )


def never_ran(graph: Graph) -> PipelineStatus:
    """Describe a pipeline whose server has never been started."""
    above = fused(graph)
    stages = (
        StageStatus(
            *(stage.name, stage.verb, "new", 0, 0, 0, None, None, 0, 0, 0, 0),
            counters=dict.fromkeys(COUNTED, 0),
            fused=above.get(stage.name),
        )
        for stage in graph.stages
    )
    return PipelineStatus(graph.pipeline, "", 0.0, ran=False, changed=False, runs=(), stages=tuple(stages))


def _stage(
    graph: Graph,
    stage: Stage,
    *,
    shot: Snapshot,
    inputs: Sequence[InputState],
    runs: Sequence[str],
    now: float,
) -> StageStatus:
    keys = Keyspace(graph.pipeline)
    found = [_to_do(shot, key, stage.name) for key in keys.inputs(stage)]
    lags = [lag for lag, _, _ in found]
    # A worker reads several inputs under one name, and is alive if it is alive on any of them.
    alive: set[str] = set()
    holders: set[str] = set()
    for consumer in (consumer for state in inputs for consumer in state.consumers):
        if is_alive(consumer, runs, graph.reclaim_idle):
            alive.add(consumer.name)
        if consumer.pending:
            holders.add(consumer.name)
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


def _frequent(shot: Snapshot, key: str) -> dict[str, int]:
    return by_frequency({name: int(n) for name, n in shot.hashes.get(key, {}).items()})


def _state(keys: Keyspace, stage: Stage, shot: Snapshot) -> State:
    missing = [key for key in keys.inputs(stage) if stage.name not in shot.groups[key]]
    if any(group_mark(stage.name, key) in shot.table for key in missing):
        return "lost"
    return "new" if missing or "spec" not in shot.table else "ok"


def _to_do(shot: Snapshot, key: str, group: str) -> tuple[int | None, int, int]:
    """
    Count a group's undelivered records and those in flight, with an upper limit of the former.

    A group that does not exist yet will start at the beginning.
    """
    entries = shot.lengths[key]
    written = shot.table.get(appended(key))
    most = entries if written is None or not entries else int(written)
    if group in shot.groups[key]:
        undelivered = shot.undelivered(key, group)
        return (*to_do(shot.table, key, shot.groups[key][group], undelivered=undelivered), most)
    is_lost = group_mark(group, key) in shot.table
    # Nobody has counted how many of the records written are still there.
    return (None if is_lost or most != entries else entries), 0, most


def _age(written: Sequence[int | None], now: float) -> float | None:
    found = [when for when in written if when is not None]
    return max(0.0, now - min(found) / 1000) if found else None
