"""Backlog: has a worker wait while a stream below it is full."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rsq_pipe.engine.count_fields import appended, packed, settled
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.process import Process
from rsq_pipe.engine.state import PipelineState
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.settlement import Part, Settled
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
    others read too only this worker's own writes are known in between: a fast one could overfill its stream
    between two looks, so what it writes is taken off at once.

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
        self._left: float = float("inf")  # records that may be written until the next look
        self._opened = asyncio.Event()
        self._stopping = asyncio.Event()
        self._state: PipelineState | None = None
        self._consumer: Paused | None = None

    def holds(self, consumer: Paused) -> None:
        """Pause this consumer, from now on, while there is no room."""
        self._consumer = consumer
        if not self.is_open:
            consumer.pause()

    def looked(self, state: PipelineState) -> None:
        """State what the streams hold."""
        self._state = state
        self._left = room(state, self._below, self._bound, self._process.totals)
        self._turn()
        if self.is_open:
            self._process.blocked.discard(self.look)

    def look(self, wrote: Sequence[Part] = ()) -> None:
        """Open or close by what settlements have told; `wrote` is what this worker has just written of it."""
        if self._outside:
            for part in wrote:
                self._left -= sum(out.stream in self._outside for out in part.outputs)
                self._left -= sum(rows.size for rows in part.rows if rows.stream in self._outside)
        if self._state is not None:
            left = room(self._state, self._below, self._bound, self._process.totals)
            self._left = min(self._left, left) if self._outside else left
        if (self._left > 0) is not self.is_open:
            self._turn()
        if self.is_open:
            self._process.blocked.discard(self.look)
        else:
            self._process.blocked.add(self.look)
            self._process.full.set()

    async def has_room(self) -> bool:
        """Wait until there is room; False where the worker is to stop meanwhile."""
        if not self.is_open and not self._stopping.is_set():
            self._process.full.set()
            await first(self._opened.wait(), self._stopping.wait())
        return self.is_open or not self._stopping.is_set()

    def stop(self) -> None:
        """Wait no longer."""
        self._stopping.set()

    def _turn(self) -> None:
        """Open or close, where it is not as what is left says."""
        if (self._left > 0) is self.is_open:
            return
        self.is_open = self._left > 0
        if self.is_open:
            self._opened.set()
        else:
            self._opened.clear()
        if self._consumer is not None:
            (self._consumer.resume if self.is_open else self._consumer.pause)()


def tell(process: Process, settled: Settled) -> None:
    """Take note of what a settlement has told, and tell those of a process who wait for room."""
    if settled.totals:
        process.totals.update(settled.totals)
        if process.holds.limits:
            process.holds.told(settled.totals)
        for told in tuple(process.blocked):
            told()


@dataclass(frozen=True, slots=True)
class Outlet:
    """
    Name a stream that a stage writes to, and what counts its records.

    Args:
        key: The stream's key.
        appended: The field that counts the records ever written to it.
        settled: Stage -> the field that counts those of them that it has settled.
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
    Tell how many records may still be written before the fullest of some streams is full.

    It is asked after every batch: the streams are looked up before, by `outlets`.

    Args:
        state: What the pipeline held at the last look.
        streams: Those that are written.
        bound: Records that each may hold.
        totals: Values of fields `appended:<stream>`, `settled:<group>:<stream>` and `<stage>:retried` as
            settlements told them since; by these what other processes have written is known, too.

    Returns:
        Less than nothing where a stream is past its bound.
    """
    fullest = 0
    for stream in streams:
        held = state.backlog.get(stream.key, 0)
        done = state.settled.get(stream.key)
        if done is not None:
            written = max(done + held, totals.get(stream.appended, 0))
            behind: int | None = None  # what the slowest reader has settled since
            for name, field in stream.settled.items():
                # What waits for its next attempt is held as well; what was put off since the look, too.
                waits = state.stages[name].retry if name in state.stages else 0
                counter = f"{name}:retried"
                waits += max(0, totals.get(counter, 0) - state.counters.get(counter, 0))
                since = totals.get(field, 0) - waits
                behind = since if behind is None else min(behind, since)
            held = written - max(done, behind or 0)
        fullest = max(fullest, held)
    return bound - fullest
