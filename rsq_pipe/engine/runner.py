"""Runner: runs a pipeline's stages in this process, from provisioning to drain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from rsq_pipe.engine.changes.beginning import begin
from rsq_pipe.engine.changes.ledger_names import ledger_names
from rsq_pipe.engine.failures.last_failure import LastFailure
from rsq_pipe.engine.failures.located import located
from rsq_pipe.engine.housekeeping.briefly import briefly
from rsq_pipe.engine.housekeeping.gauges import PERIOD as GAUGES_PERIOD
from rsq_pipe.engine.housekeeping.gauges import measure
from rsq_pipe.engine.housekeeping.history import PERIOD as TIMES_PERIOD
from rsq_pipe.engine.housekeeping.history import History
from rsq_pipe.engine.housekeeping.housekeeping import PERIOD as HOUSEKEEPING_PERIOD
from rsq_pipe.engine.housekeeping.housekeeping import Housekeeping
from rsq_pipe.engine.housekeeping.promoter import Promoter
from rsq_pipe.engine.housekeeping.retention import Retention
from rsq_pipe.engine.ownership.presence import PERIOD as PRESENCE_PERIOD
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.engine.pauses.pauses import PERIOD as PAUSES_PERIOD
from rsq_pipe.engine.pauses.stale import PERIOD as TABLES_PERIOD
from rsq_pipe.engine.process import Process
from rsq_pipe.engine.processes.earlier_runs import begin_reading, check_data, log_dead_processes, take_over
from rsq_pipe.engine.processes.placement import place
from rsq_pipe.engine.processes.role import Role
from rsq_pipe.engine.processes.sign_off import sign_off
from rsq_pipe.engine.processes.supervised import is_supervised, place_among
from rsq_pipe.engine.rates import PERIOD as RATES_PERIOD
from rsq_pipe.engine.rewind import Rewind
from rsq_pipe.engine.roles import make_roles
from rsq_pipe.engine.sinks.sink_worker import flush
from rsq_pipe.engine.sources.shared_source_worker import SharedSourceWorker
from rsq_pipe.engine.sources.source_worker import SourceWorker
from rsq_pipe.engine.state.look_period import EAGER_PERIOD, LookPeriod
from rsq_pipe.engine.state.source_ends import SourceEnds
from rsq_pipe.engine.state.state import PipelineState, read_state
from rsq_pipe.engine.summary import Summary, summary_of
from rsq_pipe.engine.windows.closer import Closer
from rsq_pipe.engine.worker import StageWorker
from rsq_pipe.errors import DrainTimeoutError, GroupLostError, SettleError, StreamError, StreamFullError
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.waiting import first, until
from rsq_pipe.telemetry.observer import Observer

_FORCED = 1.0
"""Seconds that cancelled work gets to hand back its entries."""

_ENDING = 10.0
"""Seconds that workers get to end once all is done."""


class Runner:
    """
    Run some or all stages of a pipeline.

    Args:
        graph: The pipeline.
        client: The server.
        stages: Names of the stages to run here; None for all.
        fresh: Start over: delete what the pipeline has in Redis, and replace what its sinks wrote.
        drain_timeout: Seconds a stop may take; None for the spec's.
        observer: Notified of what happens; closed by its creator.
        limit: Maximum records read of each source, to try the pipeline out.
    """

    def __init__(
        self,
        graph: Graph,
        client: StreamClient,
        *,
        stages: Sequence[str] | None = None,
        fresh: bool = False,
        drain_timeout: float | None = None,
        observer: Observer | None = None,
        limit: int | None = None,
    ) -> None:
        self.graph = graph
        self.state: PipelineState | None = None
        """What the pipeline held at the last look."""
        self.before: dict[str, int] = {}
        """The counters the run began with."""
        self.summary: Summary | None = None
        """What it did, once it has ended; also where it ended by an error, if the server still answers."""
        self._client = client
        self._names = [stage.name for stage in graph.stages] if stages is None else list(stages)
        self._fresh = fresh
        self._drain_timeout = graph.drain_timeout if drain_timeout is None else drain_timeout
        self._observer = observer or Observer()
        self._roles: list[tuple[Stage, Role]] = []
        self._presence = Presence(client, graph.pipeline, graph.spec_hash)
        by, beside = self._presence.name, is_supervised()
        self._process = Process(
            client, graph, self._halt, self._names, self._observer, by=by, has_siblings=beside, limit=limit
        )
        self.cut = self._process.cut
        self._history = History(client, graph, self._process.times)
        self._housekeeping = Housekeeping(client, graph, self._process.retried, self._history)
        self._last_failure = LastFailure(client, graph)
        self._rests = False  # whether nothing moves and no worker waits
        self._stopping = asyncio.Event()
        self._fault: BaseException | None = None
        self.has_begun = self._finished = False
        self._ends = SourceEnds(client, graph, self._names)
        self._rewind = Rewind(self._process, self._ends)
        self.awaits: Sequence[str] = ()
        """Sources and stages that other runs are to run, and that alone keep this one from ending."""
        self._others: set[str] = set()
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline)

    async def run(self) -> Summary:
        """
        Run until all sources have ended and everything is drained, or until `stop`.

        Raises:
            ServerUnavailableError: The server cannot be reached at the start. Later outages are waited out.
            SourceError, SinkError, HandlerError, GroupLostError: A stage cannot go on; the others drained.
            DrainTimeoutError: Handlers were still running at the drain's deadline; their entries went back.

        Delivery: each record is committed once per stage; what was in flight is handed back.
        Cancellation: like `stop`, without waiting for what is in flight.
        """
        began = time.monotonic()
        try:
            await self._prepare()
            await self._work()
        except (GroupLostError, SettleError) as exc:
            raise await located(self._client, self.graph, exc) from exc.__cause__
        finally:
            fault = self._fault or self._source_fault()
            answers = await self._sign_off(fault)
        if answers:  # an unreachable server would delay the end with each call
            await briefly(Retention(self._client, self.graph).trim(exactly=True))
            seconds, done = time.monotonic() - began, self._finished and not fault
            self.summary = await self._summary(seconds, finished=done)
        if isinstance(fault, GroupLostError | SettleError):
            raise await located(self._client, self.graph, fault) from fault.__cause__
        if fault is not None:
            raise fault
        return self.summary or await self._summary(time.monotonic() - began, finished=self._finished)

    def stop(self) -> None:
        """Stop reading, finish what is in flight, settle it, hand back the rest; idempotent."""
        self._stopping.set()

    async def _prepare(self) -> None:
        await check_data(self._client, self.graph)
        await log_dead_processes(self._presence, self._last_failure)
        await begin(self._client, self.graph, self._presence, fresh=self._fresh)
        await take_over(self._client, self.graph)
        await begin_reading(self._client, self.graph, self._names, may_end=self._ends.may_end)
        asked = time.monotonic()
        self.state = await read_state(self._client, self.graph)
        self.before = dict(self.state.counters)
        await self._note_others()
        self._process.ledgers.update(await ledger_names(self._client, self.graph.pipeline))
        self._roles = list(make_roles(self._process, self._names, may_end=self._ends.may_end))
        place([role for _, role in self._roles], *place_among())
        self._process.update(self.state, asked)  # such as a stage that is, or was, paused elsewhere
        self._update_roles(self.state)
        self.has_begun = True  # from now on the run itself stores what ends it

    async def _sign_off(self, fault: BaseException | None) -> bool:
        acts = self._note_others, self._housekeeping.end, self._process.publish
        how = {"finished": self._finished, "cut": bool(self.cut), "beside": is_supervised()}
        return await sign_off(self._presence, acts, self._last_failure.ends(fault, **how))

    async def _note_others(self) -> None:
        self._others.update(await self._presence.others())

    async def _work(self) -> None:
        roles = [self._start(self._restarting(stage.name, role.run)) for stage, role in self._roles]
        retried = self._process.retried
        beside = [
            self._start(Promoter(self._client, self.graph, stage, retried[stage.name]).run(self._stopping))
            for stage in self.graph.stages  # also those of other processes, which may have died
            if stage.verb != "source"
        ]
        periodic: dict[Callable[[], Coroutine[Any, Any, Any]], float] = {
            self._keep_house: HOUSEKEEPING_PERIOD,
            self._presence.show: PRESENCE_PERIOD,
            self._process.publish: PAUSES_PERIOD,
            self._process.rates.refresh: RATES_PERIOD,
            self._history.keep_times: TIMES_PERIOD,
            self._process.tables.publish: TABLES_PERIOD,
        }
        if self._observer.watches:
            periodic[self._measure] = GAUGES_PERIOD
        beside += [self._start(self._every(seconds, act)) for act, seconds in periodic.items()]
        beside.append(self._start(self._watch()))
        try:
            await self._stopping.wait()
            for _, role in self._roles:
                role.stop()
            await self._drain(roles)
        finally:
            for task in (*roles, *beside):
                task.cancel()
            await asyncio.wait([*roles, *beside], timeout=_FORCED)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._halt(exc)

    def _halt(self, exc: BaseException) -> None:
        """End the run because of an error, the first one given."""
        self._fault = self._fault or exc
        self._stopping.set()

    async def _drain(self, roles: Sequence[asyncio.Task[None]]) -> None:
        # At the run's own end nothing is in flight, and there is no stop to be quick for.
        seconds = max(self._drain_timeout, _ENDING) if self._finished else self._drain_timeout
        _, late = await asyncio.wait(roles, timeout=seconds / 2)
        if late:
            for _, role in self._roles:
                if isinstance(role, StageWorker):
                    role.skip_rest()
            _, late = await asyncio.wait(late, timeout=seconds / 2)
        if late:
            busy = [stage.name for (stage, _), task in zip(self._roles, roles, strict=True) if task in late]
            stages = ", ".join(map(repr, dict.fromkeys(busy)))
            self._halt(
                DrainTimeoutError(
                    f"a worker of {stages} was still busy {seconds:g}s after the stop; "
                    "what it had in flight goes to another worker, or to the next run, and is handled again; "
                    "a `drain_timeout` of more than twice the longest call avoids that",
                    in_flight=len(late),
                )
            )

    async def _restarting(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a role until a stop; start it again after an outage or a rewind of the server."""
        backoff = Backoff(name)
        while True:
            rewound = self._rewind.next
            try:
                # A task of its own: whatever it waits for wakes only that task, and not this frame as well.
                await asyncio.ensure_future(run())
                await first(rewound.wait(), self._stopping.wait())
                if self._stopping.is_set():
                    return
            except StreamError as exc:
                if not exc.retryable:
                    raise
                if self._stopping.is_set():
                    self._log.warning("stopped while the server was away", stage=name, error=str(exc))
                    return
                await backoff.wait(exc, self._stopping)

    async def _every(self, seconds: float, act: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        while not self._stopping.is_set():
            await self._try_once(act)
            await until(self._stopping, seconds)

    async def _try_once(self, act: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run a periodic action; if the server is unreachable or full, the next period tries again."""
        try:
            await act()
        except StreamError as exc:
            if not exc.retryable and not isinstance(exc, StreamFullError):
                raise
            if exc.retryable:
                self._observer.lost(str(exc))

    async def _keep_house(self) -> None:
        if self.state is not None:
            await self._housekeeping.turn(self.state)
            await self._last_failure.forget()

    async def _watch(self) -> None:
        """Look at the pipeline: often while it moves, while a worker waits, or when the end is near."""
        period, before = LookPeriod(), self.state
        while not self._stopping.is_set():
            self._process.look_now.clear()
            began = time.monotonic()
            await self._try_once(self._look)
            took, moved = time.monotonic() - began, self.state != before
            before = self.state
            seconds = period.after(took, moved=moved, ending=self._has_read_all)
            has_room = all(role.has_room for _, role in self._roles)
            self._rests = has_room and period.is_resting
            if has_room:
                await first(self._stopping.wait(), self._process.look_now.wait(), asyncio.sleep(seconds))
            elif self._presence.is_alone and not is_supervised():
                await until(self._stopping, EAGER_PERIOD)
            else:
                await self._process.make_room(EAGER_PERIOD, self._stopping)

    async def _look(self) -> None:
        """Read what the pipeline holds, tell all who act on it, and end the run once nothing is left."""
        # Asked before the read: a source that ends after it may have brought records that it missed.
        has_read_all = self._has_read_all
        self._observer.turned()
        if has_read_all:
            await self._ends.store(whole=not self.cut and self._source_fault() is None)
        resting = self.state if self._rests and not has_read_all else None
        others_run = not self._presence.is_alone
        asked = time.monotonic()
        self._rewind.asks()
        # Of several processes at rest, the one that keeps house looks for all.
        if resting is not None and others_run and await self._housekeeping.is_as(resting):
            self._process.still(resting, asked - self._housekeeping.seconds)
            self._observer.reached()
            return
        state = await read_state(self._client, self.graph, resting)
        if await self._rewind.is_noticed(self.state, state, self._sources):
            now = state.counters
            self.before = {name: min(count, now.get(name, 0)) for name, count in self.before.items()}
            has_read_all = False
        self.state = state
        self._process.update(state, asked)
        self._observer.reached()
        self._update_roles(state)
        if self._rests and others_run:
            await self._housekeeping.rests(state)
        awaited = self._ends.awaited(state.ended)
        if has_read_all and state.drained and not awaited:
            self._end_or_close(state)
        elif has_read_all:
            if not awaited:
                flush((role for _, role in self._roles), state)
            self._log_awaited([*awaited, *state.busy_beside(self._names)])

    def _end_or_close(self, state: PipelineState) -> None:
        """End the run, or first have the first stage with open windows close them: nothing is in flight."""
        closers = {stage.name: role for stage, role in self._roles if isinstance(role, Closer)}
        with_windows = [stage.name for stage in self.graph.stages if state.stages[stage.name].open]
        is_cut = self.cut or self._source_fault() is not None or self._ends.not_whole(state.ended)
        if with_windows and is_cut:
            # Records not read yet come in another run: it should find its windows open.
            self._log.warning(
                "windows stay open, since a source was not read to its end", stages=with_windows
            )
        elif with_windows:
            closers[with_windows[0]].end_input()
            return
        self._finished = True
        self._stopping.set()

    def _log_awaited(self, stages: Sequence[str]) -> None:
        """Log once that the run waits for others."""
        if stages and not self.awaits:
            what = "all sources of this run have ended; it waits for these: run them too, or stop this one"
            read = " ".join(f"--stage {stage}" for stage in stages)
            self._log.info(what, stages=stages, mend=f"rsq-pipe run {self.graph.spec} {read}")
        self.awaits = stages or self.awaits

    async def _measure(self) -> None:
        if self.state is not None:
            self._observer.set_gauges(await measure(self._client, self.graph, self.state))

    def _update_roles(self, state: PipelineState) -> None:
        for _, role in self._roles:
            role.update(state)

    @property
    def _sources(self) -> list[SourceWorker | SharedSourceWorker]:
        return [role for _, role in self._roles if isinstance(role, SourceWorker | SharedSourceWorker)]

    @property
    def shares(self) -> dict[str, float]:
        """Share of each source that has been read, 0 to 1, for the sources whose share is known here."""
        sources = ((stage.name, role) for stage, role in self._roles if isinstance(role, SourceWorker))
        return {name: share for name, role in sources if (share := role.share) is not None}

    @property
    def _has_read_all(self) -> bool:
        """Whether all sources of this run have ended, and nothing comes from outside."""
        return self._ends.may_end and all(source.exhausted for source in self._sources)

    def _source_fault(self) -> BaseException | None:
        """Return the error of a source not read to its end: all else is done, but the run has failed."""
        return next((source.fault for source in self._sources if source.fault is not None), None)

    async def _summary(self, seconds: float, *, finished: bool) -> Summary:
        state = await briefly(read_state(self._client, self.graph)) or self.state
        assert state is not None
        await briefly(self._history.end(state))
        if self._observer.watches:
            self.state = state
            await briefly(self._measure())
        return summary_of(
            *(self.graph, self.before, state),
            seconds=seconds,
            finished=finished,
            others=len(self._others),
        )
