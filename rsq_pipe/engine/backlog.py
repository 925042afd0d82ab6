"""Backlog: makes a worker wait while a stream below it is full."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.process import Process
from rsq_pipe.engine.state.count_fields import appended, packed, retried, settled
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.settlement import Settled
from rsq_pipe.streams.waiting import first


class Paused(Protocol):
    """A reader that can be paused while there is no room."""

    def pause(self) -> None:
        """Stop reading."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...


class Backlog:
    """
    Keep the streams that a chain writes to within `max_backlog` records.

    The runner reads now and then how much the streams hold. Between two of these looks, the reply to each
    settlement says what this process and others have written, so that together they exceed the bound by at
    most one settlement each. For streams that others read too, only this worker's own writes are known in
    between: they are subtracted at once, because a fast worker could overfill its stream between two looks.

    The remaining room is computed again only when enough has been written to have used it up.

    Args:
        process: What the stages of this process share.
        stages: Names of the chain's stages.
    """

    def __init__(self, process: Process, stages: Collection[str]) -> None:
        graph = process.graph
        keys = Keyspace(graph.pipeline)
        self._process = process
        self._bound = graph.max_backlog
        self._below = [stream for name in stages for stream in outlets(graph, name)]
        self._outside = {
            keys.stream(ref) for name in stages for ref in graph.stage(name).outputs.values() if ref.external
        }
        self.is_open = True
        """Whether there was room at the last look, less what was written since."""
        # What fills the streams below: records written to them, and records that their readers put off.
        self._filling = [
            *(stream.appended for stream in self._below),
            *{retried(name) for stream in self._below for name in stream.settled},
        ]
        self._outside_since = 0  # records that this worker wrote to outside streams since the last look
        self._filled = 0  # the sum of all these when the room was last computed
        self._left: float = float("inf")  # records that may be written from then on
        self._at_look = self._left
        self._opened = asyncio.Event()
        self._stopping = asyncio.Event()
        self._state: PipelineState | None = None
        self._consumer: Paused | None = None

    def control(self, consumer: Paused) -> None:
        """Pause this consumer while there is no room, from now on."""
        self._consumer = consumer
        if not self.is_open:
            consumer.pause()

    def update(self, state: PipelineState) -> None:
        """Update from the pipeline's state how much the streams hold."""
        self._state = state
        self._outside_since = 0
        self._left = self._at_look = self._room(state)
        self._turn()
        if self.is_open:
            self._process.blocked.discard(self.look)

    def note(self, settled: Settled) -> None:
        """Count what a settlement of this worker wrote, and have all that wait for room check again."""
        process, totals = self._process, self._process.totals
        if settled.totals:
            totals.update(settled.totals)
            if process.holds.limits:
                process.holds.check_limits(settled.totals)
            for look in tuple(process.blocked):
                look()
        filled = sum(totals.get(field, 0) for field in self._filling)
        if self._outside:
            self._outside_since += self._written_outside(settled)
            filled += self._outside_since
        # Nothing else uses up room.
        if filled - self._filled >= self._left:
            self.look()

    def look(self) -> None:
        """Open or close, according to what settlements reported since the last look at the streams."""
        if self._state is not None:
            left = self._room(self._state)
            self._left = min(left, self._at_look - self._outside_since) if self._outside else left
        self._turn()
        if self.is_open:
            self._process.blocked.discard(self.look)
        else:
            self._process.blocked.add(self.look)
            self._process.look_now.set()

    async def has_room(self) -> bool:
        """Wait until there is room; return False if the worker is to stop before that."""
        if not self.is_open and not self._stopping.is_set():
            self._process.look_now.set()
            await first(self._opened.wait(), self._stopping.wait())
        return self.is_open or not self._stopping.is_set()

    def stop(self) -> None:
        """Stop waiting."""
        self._stopping.set()

    def _room(self, state: PipelineState) -> int:
        totals = self._process.totals
        self._filled = self._outside_since + sum(totals.get(field, 0) for field in self._filling)
        return room(state, self._below, self._bound, totals)

    def _written_outside(self, settled: Settled) -> int:
        """Count the records written to streams that others read too."""
        return sum(
            sum(out.stream in self._outside for out in part.outputs)
            + sum(rows.size for rows in part.rows if rows.stream in self._outside)
            for part in settled.committed
        )

    def _turn(self) -> None:
        """Open or close if the remaining room requires it."""
        if (self._left > 0) is self.is_open:
            return
        self.is_open = self._left > 0
        if self.is_open:
            self._opened.set()
        else:
            self._opened.clear()
        if self._consumer is not None:
            (self._consumer.resume if self.is_open else self._consumer.pause)()


class Outlet(Struct, frozen=True):
    """
    Name a stream that a stage writes to, and the fields that count its records.

    Args:
        key: The stream's key.
        appended: The field that counts all records ever written to it.
        settled: Reading stage -> the field that counts the records it has settled.
    """

    key: str
    appended: str
    settled: Mapping[str, str]


def outlets(graph: Graph, stage: str) -> list[Outlet]:
    """List the streams that a stage writes to."""
    keys, readers = Keyspace(graph.pipeline), packed(graph)
    streams = [keys.stream(ref) for ref in graph.stage(stage).outputs.values()]
    return [
        Outlet(key, appended(key), {name: settled(name, key) for name in readers.get(key, ())})
        for key in streams
    ]


def room(state: PipelineState, streams: Sequence[Outlet], bound: int, totals: Mapping[str, int]) -> int:
    """
    Return how many records may still be written before the fullest of some streams is full.

    Args:
        state: What the pipeline held at the last look.
        streams: The streams that are written.
        bound: Maximum number of records in each.
        totals: The latest values of the fields `appended:<stream>`, `settled:<group>:<stream>` and
            `<stage>:retried` reported by settlements; they include what other processes have written.

    Returns:
        A negative number if a stream is past its bound.
    """
    fullest = 0
    for stream in streams:
        held = state.backlog.get(stream.key, 0)
        done = state.settled.get(stream.key)
        if done is not None:
            written = max(done + held, totals.get(stream.appended, 0))
            behind: int | None = None  # what the slowest reader has settled since the look
            for name, field in stream.settled.items():
                # Records waiting for their next attempt count as held, even those put off since the look.
                waits = state.stages[name].retry if name in state.stages else 0
                counter = retried(name)
                waits += max(0, totals.get(counter, 0) - state.counters.get(counter, 0))
                since = totals.get(field, 0) - waits
                behind = since if behind is None else min(behind, since)
            held = written - max(done, behind or 0)
        fullest = max(fullest, held)
    return bound - fullest
