"""Closer: closes the windows of a stage, or releases what waits in it, and emits the results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from rsq_pipe.engine.encoding.codecs import FormerSerializer
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.planner import MAX_BYTES
from rsq_pipe.engine.process import Process
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.engine.state.stored_state import StoredState
from rsq_pipe.engine.windows.emission import Emission
from rsq_pipe.engine.windows.emptying import Emptying
from rsq_pipe.engine.windows.result_sender import ResultSender
from rsq_pipe.engine.windows.session_closing import SessionClosing
from rsq_pipe.engine.windows.small_buckets import SmallBuckets
from rsq_pipe.engine.windows.stage_time import stage_time
from rsq_pipe.engine.windows.watermark import ALL
from rsq_pipe.errors import StreamError
from rsq_pipe.model.state import SCALARS, Fields, StateChange, Timers
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.stages.join import Joining
from rsq_pipe.streams.lease import Lease
from rsq_pipe.streams.waiting import first
from rsq_pipe.verbs.build import leaving
from rsq_pipe.verbs.windows.results import Results
from rsq_pipe.verbs.windows.unmatched import Unmatched
from rsq_pipe.verbs.windows.window_state import CLOSED, closed_until

PERIOD = 0.25
"""Seconds between two checks of the open windows."""

LEASE = 10.0
"""Seconds for which other processes leave the closing of windows to one; renewed with each portion."""

AT_REST = 30.0
"""Maximum seconds between two checks, if the last one found nothing to do and no record has come since."""

PORTION = 500
"""About how many results are settled at once."""


class Closer:
    """
    Close the windows of one stage. Each process has a closer; any of them can finish what another began.

    Args:
        process: What the stages of this process share.
        stage: The stage.
    """

    def __init__(self, process: Process, stage: Stage) -> None:
        graph = process.graph
        self._stage = stage
        self._leaving, self._none_closed = _leaving(stage, graph)
        self._sender = ResultSender(process, stage, self._leaving)
        self._state = StoredState(process.client, graph.pipeline, stage)
        self._lease = Lease(process.client, Keyspace(graph.pipeline).lease(stage, "windows"), LEASE)
        self._time = stage_time(process.client, graph, stage, self._state)
        self._sessions = self._emission = self._small = None
        if isinstance(self._leaving, Results):
            beside = (self._state, self._sender, self._leaving, self._may_go_on)
            self._sessions = SessionClosing.of(stage.options, *beside)
            self._emission = Emission.of(stage.options, *beside)
            self._small = SmallBuckets(self._state, self._sender, self._leaving, PORTION)
        self._seen_state: PipelineState | None = None
        self._settled = process.settled[stage.name]
        self._rests_until = 0.0
        self._input_ended, self._is_new = False, True
        self._wake, self._stopping = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """
        Close windows until `stop`.

        Delivery: a group leaves the state in the step that emits its result.
        Cancellation: between two steps; another process, or the next run, continues.
        """
        await self._sender.open()
        try:
            while not self._stopping.is_set():
                if self._input_ended or (self._has_open_windows and self._has_reason and self._has_news):
                    await self._turn()
                await first(self._wake.wait(), self._stopping.wait(), asyncio.sleep(PERIOD))
                self._wake.clear()
        finally:
            await self._sender.close()

    def stop(self) -> None:
        """Finish the settlement in flight and return from `run`."""
        self._stopping.set()
        self._state.stop()
        self._sender.stop()

    def end_input(self) -> None:
        """Close all windows: no more records will come."""
        self._input_ended = True
        self._wake.set()

    @property
    def has_room(self) -> bool:
        """Whether it may continue: no stream below is full."""
        return self._sender.is_open

    def update(self, state: PipelineState) -> None:
        """Update from the pipeline's state."""
        if state != self._seen_state:  # includes what other processes settle
            self._rests_until = 0.0
        self._seen_state = state
        self._sender.update(state)
        if self._time is not None:
            self._time.update(state)

    @property
    def _has_open_windows(self) -> bool:
        return self._seen_state is not None and self._seen_state.stages[self._stage.name].open > 0

    @property
    def _has_reason(self) -> bool:
        """Whether there may be work before all input has ended; at first, work left by a crash."""
        emits = self._emission is not None and self._emission.emits
        return self._is_new or emits or self._time is not None

    @property
    def _has_news(self) -> bool:
        """Whether there may be something to do, according to what is known without asking the server."""
        return self._settled.is_set() or time.monotonic() >= self._rests_until

    async def _turn(self) -> None:
        """Close what can be closed by now, unless another process does so."""
        self._settled.clear()
        self._rests_until = 0.0
        seen_state, tried = self._seen_state, self._sender.tried
        if not await self._lease.take():
            return
        try:
            closed = await self._closed_until()
            await self._send(closed)
            self._is_new = False
            if self._emission is not None and (self._emission.emits or self._input_ended):
                await self._emission.turn(ends=self._input_ended)
            if self._input_ended:
                self._input_ended = False
                await self._close_all(closed)
            elif self._time is not None and (until := await self._time.reached()) is not None:
                await self._send(await self._close(closed, until))
            if self._sender.tried == tried and self._seen_state is seen_state and self._lease.is_held:
                self._rest()
        finally:
            await self._drop_lease()

    def _rest(self) -> None:
        """Check again when time may have made something due: there was nothing to do."""
        waits = [AT_REST]
        if self._time is not None:
            waits.append(self._time.wait)
        if self._emission is not None:
            waits.append(self._emission.wait)
        self._rests_until = time.monotonic() + min(waits)

    async def _drop_lease(self) -> None:
        try:
            await self._lease.drop()
        except StreamError:
            return  # it expires by itself

    async def _stored_closed(self) -> bytes | None:
        """Read up to when windows are closed, as stored: what a change of the state expects to find."""
        stored: bytes | None
        ((stored,),) = await self._state.ask(Fields([CLOSED]))
        return stored

    async def _closed_until(self) -> int:
        """Return up to when windows are closed."""
        stored = await self._stored_closed()
        return self._none_closed if stored is None else int(stored)

    async def _close_all(self, closed: int) -> None:
        """Close all windows and emit their results; those of `closed` were emitted before."""
        while not self._stopping.is_set():
            (due,) = await self._state.ask(Timers())
            ends = [int(at) for at in due.values() if at < ALL]
            if self._sessions is not None and ends:  # a group's timer tells only when its first one ends
                ends += await self._sessions.ends([name for name, at in due.items() if at < ALL])
            closed = await self._close(closed, max(ends, default=closed))
            await self._send(closed)
            if not ends:
                return

    async def _close(self, closed: int, until: int) -> int:
        """Close windows, so that no record can enter them; return up to when they are closed."""
        if until > closed:
            stored = await self._stored_closed()
            change = StateChange()
            change.equals(SCALARS, {CLOSED: stored})
            change.set(SCALARS, {CLOSED: until})
            await self._sender.change(change)
        return await self._closed_until()

    async def _send(self, closed: int) -> None:
        """Emit the results of the closed windows."""
        if self._sessions is not None:
            await self._sessions.send(closed)
            return
        while not self._stopping.is_set():
            (due,) = await self._state.ask(Timers(closed))
            if not await self._send_buckets(list(due)) or not due:
                return

    async def _send_buckets(self, due: list[str]) -> bool:
        """Emit the results in some buckets; return False if another turn has to continue."""
        while due:
            emptied = await self._send_small(due)
            if emptied == 0 and await self._send_bucket(due[0]):
                emptied = 1
            if not emptied:
                return False
            due = due[emptied:]
        return True

    async def _send_small(self, due: list[str]) -> int | None:
        """Emit the first buckets together; return how many: 0 if that is no gain, None if it cannot go on."""
        if self._small is None:
            return 0
        return await self._small.send(due) if await self._may_go_on() else None

    async def _send_bucket(self, bucket: str) -> bool:
        """Emit the results in a bucket; return False if another turn has to continue."""
        emptying, emitted = Emptying(self._state, bucket, PORTION), 0
        while await self._may_go_on():
            stored = await self._stored_closed()
            portion = _portion(await emptying.page())
            is_all = emptying.is_all(portion)
            if portion or is_all:
                change = StateChange()
                change.equals(SCALARS, {CLOSED: stored})
                change.lengths(bucket, {name: len(value) for name, value in portion.items()})
                if is_all:
                    change.unlink(bucket)
                else:
                    change.delete(bucket, list(portion))
                batch = self._leaving.batch(int(bucket), sorted(portion.items()))
                if not await self._sender.send(batch, change):
                    return False
            emitted += len(portion)
            if is_all:
                if self._small is not None:
                    self._small.note(emitted)
                return True
            emptying.took(portion)
        return False

    async def _may_go_on(self) -> bool:
        return await self._sender.has_room() and not self._stopping.is_set() and await self._lease.take()


def _leaving(stage: Stage, graph: Graph) -> tuple[Results | Unmatched, int]:
    """Create the verb that builds records from a state, and return up to when nothing was closed yet."""
    never = 0 if isinstance(stage.options, Joining) else closed_until(None, stage.options.windows)
    return leaving(stage, FormerSerializer(graph), any_size=graph.serializer == "json"), never


def _portion(groups: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Take as many groups as one settlement may write, but at least one."""
    portion: dict[bytes, bytes] = {}
    size = 0
    for name, partials in sorted(groups.items()):
        size += len(partials)
        if portion and size > MAX_BYTES // 2:
            break
        portion[name] = partials
    return portion
