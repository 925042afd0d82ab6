"""Status: the status of a pipeline, read without changing anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from rsq_pipe.engine.changes.change import StageChange
from rsq_pipe.engine.changes.changeover import plan
from rsq_pipe.engine.failures.last_failure import FIELD, UNREAD
from rsq_pipe.engine.failures.located import located
from rsq_pipe.engine.keyspace import Keyspace, counter_fields, group_marks, groups, lookups
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.engine.pauses.stale import stale_fields
from rsq_pipe.engine.state.count_fields import count_fields
from rsq_pipe.engine.state.hold import hold_fields
from rsq_pipe.engine.state.legible import legible
from rsq_pipe.engine.state.paused import pause_fields
from rsq_pipe.engine.state.source_ends import awaited_sources, end_fields
from rsq_pipe.errors import SettleError
from rsq_pipe.ops.failed_run import FailedRun, failed_run
from rsq_pipe.ops.memories import state_hashes
from rsq_pipe.ops.memory_use import MemoryUse, memory_use
from rsq_pipe.ops.stage_status import StageStatus, new_stages, stage_statuses
from rsq_pipe.ops.windows import window_timers
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.clock import server_time
from rsq_pipe.streams.memory import Memory, memory_of, refusal_to_write
from rsq_pipe.streams.snapshot import Snapshot, take

_AHEAD = 1.0
"""Seconds that stored times must lie in the future to be told of: clocks are often corrected by less."""


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
        memory: How full the server is; None if unknown.
        gone: Stages that are no longer in the file but still hold something.
        plan: What a run of the current file would do, in a sentence; empty if it would just continue.
        refusal: Why the server refuses writes: its disk is full, it is a replica or misses some; empty if it
            does not.
        failed: The error that ended the last run; None if it did not end with one.
        unread: Whether the last run ended before all sources did, or this one has not reached their end.
        awaits: Sources that have not ended, while runs of others have ended theirs, and wait for them.
        ahead_seconds: How far stored times lie in the future, since the server's clock was set back; or 0.
        memory_use: What takes the memory of a full server, the largest first; empty if it is not full.
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
    ahead_seconds: float = 0.0
    memory_use: tuple[MemoryUse, ...] = ()

    @property
    def full(self) -> bool:
        """Whether the server has no room for new records from sources."""
        return self.memory is not None and self.memory.is_full

    @property
    def drained(self) -> bool:
        """Whether nothing waits anywhere, not even in open windows; dead letters do not count."""
        # Waiting records are then inside a source, where no stream shows them; of a server that takes no
        # writes it is not even known whether there is a run.
        if (self.full and self.runs) or self.refusal:
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
        """Leave out all but some stages; no names for all."""
        chosen = tuple(stage for stage in self.stages if not names or stage.name in names)
        return replace(self, stages=chosen)

    def document(self) -> dict[str, Any]:
        """Return the keys of `--json`, which stay the same from one release to the next."""
        return {**to_builtins(self), "full": self.full, "drained": self.drained}


async def read_status(client: StreamClient, graph: Graph, *, as_run: bool = False) -> PipelineStatus:
    """
    Read the status of a pipeline.

    Args:
        client: The server.
        graph: The pipeline.
        as_run: Whether the graph is that of the last run, rather than a file that may differ from it.

    Returns:
        All stages, even of a pipeline that never ran: reading creates nothing.

    Raises:
        ServerUnavailableError: The server cannot be reached.
        StreamError: The server's data of it cannot be read.

    Redis: MULTI like the runner's look; XINFO CONSUMERS, XPENDING and XRANGE of one entry per group;
        ZRANGEBYSCORE; GET; INFO and PING, if the user may; of a full server MEMORY USAGE per key.
    """
    with legible(graph.pipeline, client.channel.address):
        try:
            return await _look(client, graph, as_run=as_run)
        except SettleError as exc:
            raise await located(client, graph, exc) from exc.__cause__


def never_ran(graph: Graph) -> PipelineStatus:
    """Describe a pipeline whose server has never been started."""
    return PipelineStatus(
        graph.pipeline, "", 0.0, ran=False, changed=False, runs=(), stages=new_stages(graph)
    )


async def _look(client: StreamClient, graph: Graph, *, as_run: bool) -> PipelineStatus:
    shot = await _snapshot(client, graph)
    change = None if as_run else await plan(client, graph)
    meta = Keyspace(graph.pipeline).meta
    now = await server_time(client, meta)
    presence = Presence(client, graph.pipeline)
    runs, dead = await presence.others(), await presence.dead()
    stages = await stage_statuses(client, graph, shot, runs=runs, now=now)
    memory = await memory_of(client, meta)
    is_full = memory is not None and memory.is_full
    backlogs = {one.name: one.backlog for one in stages}
    return PipelineStatus(
        pipeline=graph.pipeline,
        server=client.channel.address,
        at=now,
        ran="spec" in shot.table,
        changed=not as_run and shot.table.get("spec", graph.spec_hash) != graph.spec_hash,
        runs=tuple(runs),
        stages=stages,
        memory=memory,
        ahead_seconds=_ahead(graph, shot, now),
        memory_use=await memory_use(client, graph, backlogs) if is_full else (),
        gone=tuple(gone for gone in change.gone if not gone.holds.is_empty) if change else (),
        plan=change.outlook if change else "",
        refusal=await refusal_to_write(client, meta),
        failed=failed_run(shot.table, dead, now),
        unread=UNREAD in shot.table,
        awaits=awaited_sources(graph, shot.table) if runs else (),
    )


def _ahead(graph: Graph, shot: Snapshot, now: float) -> float:
    """Return how far the newest entries read lie in the future: the server never lowers a stream's ids."""
    own = f"{{{graph.pipeline}}}:"  # others may choose ids as they like
    read = [
        int(info.last_delivered_id.partition("-")[0])
        for stream, infos in shot.groups.items()
        if stream.startswith(own)
        for info in infos.values()
    ]
    ahead = max(read, default=0) / 1000 - now
    return ahead if ahead >= _AHEAD else 0.0


async def _snapshot(client: StreamClient, graph: Graph) -> Snapshot:
    """Read in one transaction everything that can be read so."""
    keys = Keyspace(graph.pipeline)
    readers = groups(graph)
    return await take(
        client,
        streams=list(readers),
        sets=[*(keys.retry(stage) for stage in graph.stages), *window_timers(graph)],
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
