"""Process: what the stages in one process share."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from rsq_pipe.engine.call_times import CallTimes
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.ownership.stand_by import StandBy
from rsq_pipe.engine.pauses.gathering import Gathering
from rsq_pipe.engine.pauses.holds import Holds
from rsq_pipe.engine.pauses.pauses import Pauses
from rsq_pipe.engine.pauses.stale import Tables
from rsq_pipe.engine.rates import Rates
from rsq_pipe.engine.state.count_fields import count_fields, retried
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.errors import StreamError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.in_flight import Isolation
from rsq_pipe.streams.reclaim import PendingSeen
from rsq_pipe.streams.waiting import until
from rsq_pipe.telemetry.observer import Observer

ROOM_PERIOD = 0.01
"""Seconds between two questions whether another process has made room below a blocked worker."""


@dataclass(frozen=True, slots=True)
class Process:
    """
    Hold what the stages share.

    Args:
        client: The server.
        graph: The pipeline.
        halt: Called with an error that must end the run.
        names: The stages that run here.
        observer: Notified of what happens.
        totals: `appended:<stream>` and `settled:<group>:<stream>` -> number of records, from settlements.
        blocked: Called when a settlement returns new totals; added by workers that wait for room.
        retried: Stage -> event set when some of its records were put off.
        look_now: Set when the runner has to look at the pipeline at once: a worker has to wait for room
            below, or a source has ended.
        settled: Stage -> event set when a worker has settled a change of the stage's state.
        pending: Stage -> what is known of its groups' pending entries.
        isolation: Makes an entry in its last delivery the only one in flight in the process.
        by: The process's name, as others read it.
        has_siblings: Whether a supervisor runs others like this one, and ends them if this one fails.
        limit: Maximum records of each source that enter; None for all.
        cut: The sources that have reached that limit: they may hold more.
        pauses: The breakers of the stages.
        rates: The rate limits of the stages.
        tables: The files that lookups hold.
        holds: The stages that are paused until an operator resumes them.
        times: The call times of the stages.
        stand_by: Waits for leases that other processes hold.
        gathering: How fast the sinks write.
        ledgers: Sink -> the name of its ledger, if that is not the sink's name.
    """

    client: StreamClient
    graph: Graph
    halt: Callable[[BaseException], None]
    names: Collection[str] = ()
    observer: Observer = field(default_factory=Observer)
    totals: dict[str, int] = field(default_factory=dict)
    blocked: set[Callable[[], None]] = field(default_factory=set)
    retried: Mapping[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    look_now: asyncio.Event = field(default_factory=asyncio.Event)
    settled: Mapping[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    pending: Mapping[str, PendingSeen] = field(default_factory=lambda: defaultdict(PendingSeen))
    isolation: Isolation = field(default_factory=Isolation)
    by: str = ""
    has_siblings: bool = False
    limit: int | None = None
    cut: set[str] = field(default_factory=set)
    ledgers: dict[str, str] = field(default_factory=dict)
    pauses: Pauses = field(init=False)
    rates: Rates = field(init=False)
    tables: Tables = field(init=False)
    holds: Holds = field(init=False)
    times: CallTimes = field(init=False)
    stand_by: StandBy = field(init=False)
    gathering: Gathering = field(default_factory=Gathering)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pauses", Pauses(self.client, self.graph, self.by))
        object.__setattr__(self, "holds", Holds(self.client, self.graph, self.halt, self.by))
        object.__setattr__(self, "times", CallTimes())
        object.__setattr__(self, "stand_by", StandBy(self.client))
        object.__setattr__(self, "rates", Rates(self.graph))
        object.__setattr__(self, "tables", Tables(self.client, self.graph, self.by))

    async def make_room(self, seconds: float, stopping: asyncio.Event) -> None:
        """
        Wait, and let blocked workers go on once the readers below them, in other processes, have settled.

        What this process settles itself is known from the replies.

        Redis: HMGET, every `ROOM_PERIOD` while a worker is blocked.
        """
        while seconds > 0 and not stopping.is_set():
            await until(stopping, ROOM_PERIOD)
            seconds -= ROOM_PERIOD
            if self.blocked:
                try:
                    await self._read_totals()
                except StreamError:  # the next look tells of it
                    await until(stopping, seconds)
                    return

    async def _read_totals(self) -> None:
        meta, totals = Keyspace(self.graph.pipeline).meta, self.totals
        fields = [*count_fields(self.graph), *(retried(stage.name) for stage in self.graph.stages)]
        found = await self.client.channel.execute("HMGET", meta, *fields, key=meta)
        for name, value in zip(fields, found, strict=True):
            if value is not None:  # a reply to a settlement may have come meanwhile, and be newer
                totals[name] = max(int(value), totals.get(name, 0))
        for look in tuple(self.blocked):
            look()

    async def publish(self) -> None:
        """
        Write to the server which stages are paused, and which no longer are.

        Raises:
            ServerUnavailableError: It cannot be reached.
        """
        await self.holds.publish()
        await self.pauses.publish()

    def update(self, state: PipelineState, asked: float) -> None:
        """Update from the pipeline's state; `asked` is when the server was asked, by `time.monotonic`."""
        self.pauses.update(state.paused, asked)
        self.holds.update(state, asked)
        self.still(state, asked)

    def still(self, state: PipelineState, asked: float) -> None:
        """Confirm that the pipeline's state is the same as before."""
        for name, pending in self.pending.items():
            pending.update(asked, is_none=state.stages[name].idle)
