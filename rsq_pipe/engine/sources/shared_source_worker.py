"""SharedSourceWorker: reads a source that others read as well, each shard in one process at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import structlog

from rsq_pipe.connectors.source import Chunk, SharedSource
from rsq_pipe.engine.connecting import source_of
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.presence import Presence
from rsq_pipe.engine.process import Process
from rsq_pipe.engine.sources.source_worker import SourceWorker
from rsq_pipe.engine.state import PipelineState
from rsq_pipe.errors import SourceError, StreamError
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.settlement import Position
from rsq_pipe.streams.waiting import until

TURN = 1.0
"""Seconds between two looks at which shards there are, and who reads beside this process."""

SECONDS = 10.0
"""How long a process counts as reading after its last sign of life; its leases last as long."""

FIRST = "first"
"""What the field that names the first shards of a source ends with, among its positions."""

READERS = "readers"
"""What the key of the set of processes that read a source ends with, among its leases."""


def source_role(process: Process, stage: Stage) -> SourceWorker | SharedSourceWorker:
    """Make what reads a source in this process."""
    source = source_of(process.graph, stage)
    if not isinstance(source, SharedSource):
        return SourceWorker(process, stage, source)
    if process.limit is not None:
        # To count records of all shards together, one process reads them one after another.
        return SourceWorker(process, stage, source.ending())
    return SharedSourceWorker(process, stage, source)


class SharedSourceWorker:
    """
    Read this process's share of a source's shards; all of them where no other process reads the source.

    Each process shows itself in a set on the server, and gives every shard to one of those it finds there,
    all by the same rule. They may see one another a moment late: for all that, the lease of each shard keeps
    it with one process, and the position that each chunk moves refuses whoever was paused in between.

    Args:
        process: What the stages of this process share.
        stage: The source stage.
        source: The source.
    """

    def __init__(self, process: Process, stage: Stage, source: SharedSource) -> None:
        self._process = process
        self._stage = stage
        self._source = source
        self._readers = readers_of(process, stage)
        self._running: dict[str, tuple[SourceWorker, asyncio.Task[None]]] = {}
        self._ended: dict[str, SourceWorker] = {}
        self._last: PipelineState | None = None
        self._stopping = asyncio.Event()
        self._has_begun = False
        self._beside = 1
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=process.graph.pipeline, stage=stage.name)
        self.exhausted = False
        """Whether everything the source had is in the pipeline, but for what `fault` tells of."""

    async def run(self) -> None:
        """
        Read until all shards have ended, or `stop`.

        Raises:
            SourceError: There is nothing to read.

        Delivery: each record enters once; a shard's position moves in the step that stores its records.
        Cancellation: between two chunks of each shard; nothing is half stored.
        """
        try:
            while not self._stopping.is_set():
                shards = await asyncio.to_thread(self._source.shards)
                if not self._has_begun:
                    self._source.began(await self._first(shards))
                    self._has_begun = True
                await self._readers.show()
                await self._turn(shards)
                if shards and self._ended.keys() >= set(shards):
                    self.exhausted = True
                    return
                await self._passed()
        finally:
            await self._end([*self._running])
            await self._left()

    @property
    def fault(self) -> SourceError | None:
        """Why not all of the source is in the pipeline, though it has ended."""
        return next((worker.fault for worker in self._ended.values() if worker.fault is not None), None)

    def stop(self) -> None:
        """Let the chunks that enter do so, and return from `run`; what was read after them is read again."""
        self._stopping.set()
        for worker in (*(worker for worker, _ in self._running.values()), *self._ended.values()):
            worker.stop()

    @property
    def has_room(self) -> bool:
        """Whether it may go on: no stream below is full."""
        return all(worker.has_room for worker, _ in self._running.values())

    def looked(self, state: PipelineState) -> None:
        """Take note of what the pipeline holds."""
        self._last = state
        for worker, _ in self._running.values():
            worker.looked(state)

    async def _first(self, shards: Sequence[str]) -> Sequence[str]:
        """Name the shards there were when the source was read for the first time, in whatever process."""
        meta = Keyspace(self._process.graph.pipeline).meta
        field, client = f"position:{self._stage.name}:{FIRST}", self._process.client
        await client.ingest(Position(meta, field, "", " ".join(shards)), ())  # refused where it is there
        found: bytes = await client.channel.execute("HGET", meta, field, key=meta)
        return found.decode().split(" ")

    async def _turn(self, shards: Sequence[str]) -> None:
        """Take note of what has ended, let go of what is another's, and begin with what is this process's."""
        for shard in [shard for shard, (_, task) in self._running.items() if task.done()]:
            self._note(shard, *self._running.pop(shard))
        others = await self._readers.others()
        mine = share(shards, [self._readers.name, *others], self._readers.name)
        if not self._source.endless and mine <= self._ended.keys():
            # What others have begun and not ended is waited for, so that the run ends when all is read.
            mine = set(shards)
        if len(mine) > self._beside:
            await self._end([*self._running])  # they would bring too much together
            self._beside = len(mine)
        await self._end([shard for shard in self._running if shard not in mine])
        for shard in sorted(mine - self._running.keys() - self._ended.keys()):
            self._begin(shard)

    def _begin(self, shard: str) -> None:
        source = _OneShard(self._source, shard)
        worker = SourceWorker(self._process, self._stage, source, part=shard, beside=self._beside)
        if self._last is not None:
            worker.looked(self._last)
        self._running[shard] = worker, asyncio.ensure_future(worker.run())

    async def _end(self, shards: Sequence[str]) -> None:
        """Have shards let go of after the chunks that enter; cut off where this is cancelled."""
        ending = [self._running[shard] for shard in shards]
        for worker, _ in ending:
            worker.stop()
        try:
            if ending:
                await asyncio.wait([task for _, task in ending])
        finally:
            for shard in shards:
                worker, task = self._running.pop(shard)
                if task.cancel():
                    await asyncio.wait([task])
                self._note(shard, worker, task)

    def _note(self, shard: str, worker: SourceWorker, task: asyncio.Task[None]) -> None:
        """State how the reading of a shard has ended: for good, or until the next turn."""
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not (isinstance(error, StreamError) and error.retryable):
            self._process.halt(error)
        elif error is None and worker.exhausted:
            if not self._source.endless:
                self._ended[shard] = worker
            elif worker.fault is not None:
                # Without end, nobody would ever be told of it.
                self._process.halt(worker.fault)

    async def _passed(self) -> None:
        """Wait for the next turn; until a shard ends, where those can."""
        waiting = [task for _, task in self._running.values()]
        stopped = asyncio.ensure_future(until(self._stopping, TURN))
        await asyncio.wait([stopped, *waiting], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()

    async def _left(self) -> None:
        try:
            await self._readers.end()
        except StreamError:
            return  # it counts as ended after a while


class _OneShard:
    """One shard of a source, as a source."""

    resumable = True

    def __init__(self, source: SharedSource, shard: str) -> None:
        self._source = source
        self._shard = shard

    def shards(self) -> Sequence[str]:
        return [self._shard]

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:
        return self._source.read(shard, position, size)

    def close(self) -> None:
        self._source.close(self._shard)


def readers_of(process: Process, stage: Stage) -> Presence:
    """Show, from now on, that this process reads a source."""
    graph: Graph = process.graph
    key = Keyspace(graph.pipeline).lease(stage, READERS)
    return Presence(process.client, graph.pipeline, key=key, seconds=SECONDS)


def share(shards: Sequence[str], readers: Sequence[str], own: str) -> set[str]:
    """
    Say which shards are one reader's: as many as any other's, give or take one.

    Args:
        shards: All there are.
        readers: The names of all who read.
        own: The name of the one.
    """
    place = sorted(readers).index(own)
    return set(sorted(shards)[place :: len(readers)])
