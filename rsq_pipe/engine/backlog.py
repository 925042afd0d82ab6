"""Backlog: has a worker wait while a stream below it is full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Protocol

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.process import Process
from rsq_pipe.engine.state import PipelineState, outlets
from rsq_pipe.streams.settlement import Settled, Settlement
from rsq_pipe.streams.waiting import first


class Paused(Protocol):
    """What is paused while there is no room."""

    def pause(self) -> None:
        """Read nothing."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...


class Backlog:
    """
    Keep the streams that a chain writes to within `max_backlog` records.

    What the streams hold is looked at now and then; what has been written since, by this process and others,
    each settlement tells. So together they pass the bound by one settlement each, at most. Of streams that
    others read too only this worker's own writes are known in between.

    Args:
        process: What the stages of this process share.
        stages: Names of the chain's stages.
    """

    def __init__(self, process: Process, stages: Collection[str]) -> None:
        graph = process.graph
        keys = Keyspace(graph.pipeline)
        self._process = process
        self._below = [stream for name in stages for stream in outlets(graph, name)]
        self._outside = {
            keys.stream(ref) for name in stages for ref in graph.stage(name).outputs.values() if ref.external
        }
        self._stopping = asyncio.Event()
        self._gate = Gate(self._pause, self._resume)
        self._state: PipelineState | None = None
        self._consumer: Paused | None = None

    def holds(self, consumer: Paused) -> None:
        """Pause this consumer, from now on, while there is no room."""
        self._consumer = consumer
        if not self._gate.is_open:
            consumer.pause()

    def _pause(self) -> None:
        if self._consumer is not None:
            self._consumer.pause()

    def _resume(self) -> None:
        if self._consumer is not None:
            self._consumer.resume()

    @property
    def is_open(self) -> bool:
        """Whether there was room at the last look, less what was written since."""
        return self._gate.is_open

    def looked(self, state: PipelineState) -> None:
        """State what the streams hold."""
        self._state = state
        self._gate.grant(self._room(state))
        if self._gate.is_open:
            self._process.blocked.discard(self._told)

    def wrote(self, settlement: Settlement, settled: Settled) -> None:
        """State what was written; what was read with it makes room above."""
        if self._outside and settled.committed:
            for part in settlement.parts:
                self._gate.spend(sum(out.stream in self._outside for out in part.outputs))
                self._gate.spend(sum(rows.size for rows in part.rows if rows.stream in self._outside))
        self._process.tell(settled)
        self._told()

    def _told(self) -> None:
        """Take note of what a settlement has told."""
        if self._state is None:
            return
        room: float = self._room(self._state)
        if self._outside:
            room = min(self._gate.room, room)
        self._gate.grant(room)
        if room > 0:
            self._process.blocked.discard(self._told)
        else:
            self._process.blocked.add(self._told)
            self._process.full.set()

    async def has_room(self) -> bool:
        """Wait until there is room; False where the worker is to stop meanwhile."""
        if not self._gate.is_open and not self._stopping.is_set():
            self._process.full.set()
            await first(self._gate.passed(), self._stopping.wait())
        return self._gate.is_open or not self._stopping.is_set()

    def stop(self) -> None:
        """Wait no longer."""
        self._stopping.set()

    def _room(self, state: PipelineState) -> int:
        return state.room(self._below, self._process.graph.max_backlog, self._process.totals)


class Gate:
    """
    Be open while there is room below.

    How much room there is, is looked at now and then. A fast writer could overfill its stream between two
    looks, so what it writes is taken off at once.

    Args:
        on_close, on_open: Called at each change, for a consumer that is paused and resumed.
    """

    def __init__(
        self, on_close: Callable[[], None] | None = None, on_open: Callable[[], None] | None = None
    ) -> None:
        self.room: float = float("inf")
        """How many records may be written until the next look."""
        self._open = asyncio.Event()
        self._open.set()
        self._on_close = on_close
        self._on_open = on_open

    @property
    def is_open(self) -> bool:
        """Whether new work may be taken."""
        return self._open.is_set()

    def grant(self, room: float) -> None:
        """State how many records may be written until the next look; opens or closes."""
        self.room = room
        if (room > 0) != self._open.is_set():
            self._turn(is_open=room > 0)

    def spend(self, entries: int) -> None:
        """State that entries were written; closes where that was all the room there was."""
        self.room -= entries
        if self.room <= 0 and self._open.is_set():
            self._turn(is_open=False)

    async def passed(self) -> None:
        """Wait until it is open."""
        await self._open.wait()

    def _turn(self, *, is_open: bool) -> None:
        if is_open:
            self._open.set()
        else:
            self._open.clear()
        tell = self._on_open if is_open else self._on_close
        if tell:
            tell()
