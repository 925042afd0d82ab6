"""Closer: closes the windows of a stage, or lets go of what waits in it, and sends on what that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from rsq_pipe.engine.backlog import Backlog
from rsq_pipe.engine.chain import chain
from rsq_pipe.engine.codecs import serializer
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.plan import Work
from rsq_pipe.engine.planner import MAX_BYTES, NO_ENTRIES, Planner
from rsq_pipe.engine.process import Process
from rsq_pipe.engine.stage_time import stage_time
from rsq_pipe.engine.state import PipelineState
from rsq_pipe.engine.stored_state import StoredState
from rsq_pipe.engine.telling import FailureLog
from rsq_pipe.engine.unpacking import Unpacked
from rsq_pipe.errors import StreamError
from rsq_pipe.model.state import SCALARS, Fields, Page, StateChange, Timers
from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.join import Joining
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.lease import Lease
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.streams.settlement import Settled, Settlement, StateOf
from rsq_pipe.streams.waiting import first
from rsq_pipe.verbs.pairing import Shape
from rsq_pipe.verbs.results import Results
from rsq_pipe.verbs.unmatched import Unmatched
from rsq_pipe.verbs.window_state import CLOSED, closed_until

PERIOD = 0.25
"""Seconds between two looks at the windows that are open."""

LEASE = 10.0
"""Seconds for which the others leave it to the process that closes windows; renewed with each portion."""

PORTION = 500
"""Results that are settled at once, about."""


class Closer:
    """
    Close the windows of one stage. Each process has one; what one has begun any other goes on with.

    Args:
        process: What the stages of this process share.
        stage: The stage.
    """

    def __init__(self, process: Process, stage: Stage) -> None:
        graph = process.graph
        self._process = process
        self._graph, self._stage = graph, stage
        keys = Keyspace(graph.pipeline)
        self._keys = (keys.state(stage), keys.timers(stage))
        self._leaving, self._never = _leaving(stage, serializer(graph))
        self._chain = chain(graph, stage, process.names, process.observer, verb=self._leaving)
        self._planner = Planner(graph, stage)
        self._backlog = Backlog(process, [link.stage.name for link in self._chain.links()])
        self._state = StoredState(process.client, graph.pipeline, stage)
        self._lease = Lease(process.client, keys.lease(stage, "windows"), LEASE)
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline, stage=stage.name)
        self._failed = FailureLog(self._log)
        self._looked: PipelineState | None = None
        self._time = stage_time(process.client, graph, stage, self._state)
        self._input_ended = False
        self._wake, self._stopping = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """
        Close windows until `stop`.

        Delivery: a group leaves the state in the step that sends its result on.
        Cancellation: between two steps; another process, or the next run, goes on.
        """
        await self._chain.open()
        try:
            while not self._stopping.is_set():
                if self._is_open or self._input_ended:
                    await self._turn()
                await first(self._wake.wait(), self._stopping.wait(), asyncio.sleep(PERIOD))
                self._wake.clear()
        finally:
            self._failed.close()
            await self._chain.close()

    def stop(self) -> None:
        """Finish the settlement in flight and return from `run`."""
        self._stopping.set()
        self._state.stop()
        self._backlog.stop()

    def end_input(self) -> None:
        """Close all windows: nothing comes any more."""
        self._input_ended = True
        self._wake.set()

    @property
    def has_room(self) -> bool:
        """Whether it may go on: no stream below is full."""
        return self._backlog.is_open

    def looked(self, state: PipelineState) -> None:
        """Take note of what the pipeline holds."""
        self._looked = state
        self._backlog.looked(state)
        if self._time is not None:
            self._time.looked(state)

    @property
    def _is_open(self) -> bool:
        return self._looked is not None and self._looked.stages[self._stage.name].open > 0

    async def _turn(self) -> None:
        """Close what can be closed by now, unless another process is at it."""
        if not await self._lease.take():
            return
        try:
            closed = await self._closed()
            await self._send(closed)
            if self._input_ended:
                self._input_ended = False
                await self._close_all(closed)
            elif self._time is not None and (until := await self._time.reached()) is not None:
                await self._send(await self._close(closed, until))
        finally:
            await self._dropped()

    async def _dropped(self) -> None:
        try:
            await self._lease.drop()
        except StreamError:
            return  # it lapses by itself

    async def _stored(self) -> bytes | None:
        ((stored,),) = await self._state.ask(Fields([CLOSED]))
        found: bytes | None = stored
        return found

    async def _closed(self) -> int:
        stored = await self._stored()
        return self._never if stored is None else int(stored)

    async def _close_all(self, closed: int) -> None:
        while not self._stopping.is_set():
            (due,) = await self._state.ask(Timers())
            if not due:
                return
            closed = await self._close(closed, max(map(int, due.values())))
            await self._send(closed)

    async def _close(self, closed: int, until: int) -> int:
        """Close windows: from now on no record enters them. Return up to when they are."""
        if until > closed:
            stored = await self._stored()
            change = StateChange()
            change.equals(SCALARS, {CLOSED: stored})
            change.set(SCALARS, {CLOSED: until})
            await self._settle(Settlement(state=StateOf(*self._keys, change)))
        return await self._closed()

    async def _send(self, closed: int) -> None:
        """Send on what is in windows that are closed."""
        while not self._stopping.is_set():
            (due,) = await self._state.ask(Timers(closed))
            for bucket in due:
                if not await self._send_bucket(bucket):
                    return
            if not due:
                return

    async def _send_bucket(self, bucket: str) -> bool:
        """Send on what is in a bucket; False where that is to be gone on with in another turn."""
        cursor = 0
        while await self._backlog.has_room() and not self._stopping.is_set() and await self._lease.take():
            stored = await self._stored()
            (page,) = await self._state.ask(Page(bucket, cursor, PORTION))
            at, found = page
            some = _portion(found)
            last = at == 0 and cursor == 0 and len(some) == len(found)
            if not some and at:
                cursor = at
                continue
            change = StateChange()
            change.equals(SCALARS, {CLOSED: stored})
            change.lengths(bucket, {name: len(value) for name, value in some.items()})
            if last or not some:
                change.unlink(bucket)
            else:
                change.delete(bucket, list(some))
            if not await self._sent(bucket, some, change):
                return False
            if last or not some:
                return True
            cursor = 0
        return False

    async def _sent(self, bucket: str, groups: Mapping[bytes, bytes], change: StateChange) -> bool:
        """Settle the results of some groups; False where that did not work out."""
        batch = self._leaving.batch(int(bucket), sorted(groups.items()))
        if not batch.records:
            settled = await self._settle(Settlement(state=StateOf(*self._keys, change)))
            return settled is not None and not settled.stale
        steps = await self._chain.process(batch)
        steps[0].outcomes.state = change
        plan = self._planner.plan(Work(Unpacked(batch), steps))
        self._failed.tell(plan)
        if plan.halt is not None:
            self._process.halt(plan.halt)
        settled = None if plan.halt is not None else await self._settle(plan.settlement)
        counts = settled is not None and not settled.stale
        for step in steps:
            step.end(() if counts else NO_ENTRIES)
        return counts

    async def _settle(self, settlement: Settlement) -> Settled | None:
        """Settle; None where it was told to stop while the server was away."""
        backoff = Backoff(f"{self._stage.name} (windows)")
        while True:
            try:
                settled = await self._process.client.settle(settlement, group="", consumer="")
            except StreamError as exc:
                if not exc.retryable:
                    raise
                if self._stopping.is_set():
                    return None
                await backoff.wait(exc, self._stopping)
            else:
                self._backlog.wrote(settlement, settled)
                return settled


def _leaving(stage: Stage, form: Serializer) -> tuple[Results | Unmatched, int]:
    """Make what makes records of what leaves a state, and tell up to when nothing was closed at first."""
    if isinstance(stage.options, Joining):
        return Unmatched(Shape(stage.name, stage.options, stage.outputs), form), 0
    return Results(stage.name, stage.options), closed_until(None, stage.options.windows)


def _portion(groups: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Take as many groups as one settlement may write; at least one."""
    some: dict[bytes, bytes] = {}
    size = 0
    for name, partials in sorted(groups.items()):
        size += len(partials)
        if some and size > MAX_BYTES // 2:
            break
        some[name] = partials
    return some
