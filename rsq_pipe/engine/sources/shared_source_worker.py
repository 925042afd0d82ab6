"""SharedSourceWorker: reads its share of a source; each shard is read by one process at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import structlog

from rsq_pipe.connectors.outage import report_outages_to
from rsq_pipe.connectors.source import Chunk, SharedSource
from rsq_pipe.engine.connecting import source_of
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.engine.process import Process
from rsq_pipe.engine.sources.source_worker import SourceWorker, waiting
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.errors import SourceError, StreamError
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.settlement import Position
from rsq_pipe.streams.waiting import until

TURN = 1.0
"""Seconds between two checks which shards exist, and which other processes read them."""

SECONDS = 10.0
"""Seconds that a process counts as reading after its last sign of life; its leases last as long."""

FIRST = "first"
"""The suffix of the field, among a source's positions, that lists its first shards."""

READERS = "readers"
"""The suffix of the key, among a source's leases, of the set of processes that read it."""


def source_role(process: Process, stage: Stage) -> SourceWorker | SharedSourceWorker:
    """Make the worker that reads a source in this process."""
    source = source_of(process.graph, stage)
    if not isinstance(source, SharedSource):
        return SourceWorker(process, stage, source)
    if process.limit is not None:
        # To count the records of all shards together, one process reads them one after another.
        return SourceWorker(process, stage, source.ending())
    return SharedSourceWorker(process, stage, source)


class SharedSourceWorker:
    """
    Read this process's share of a source's shards; all of them if no other process reads the source.

    Each process adds itself to a set on the server, and assigns every shard to one of the processes it finds
    there, by the same rule. They may see one another a moment late. Even then the lease of each shard keeps
    it with one process, and the position that each chunk moves fences a process that was paused.

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
        """Whether everything the source had is in the pipeline, except for what `fault` names."""

    async def run(self) -> None:
        """
        Read until all shards have ended, or `stop`.

        Raises:
            SourceError: There is nothing to read.

        Delivery: each record enters once; a shard's position moves in the same step that stores its records.
        Cancellation: between two chunks of each shard; nothing is half stored.
        """
        report_outages_to(waiting(self._process, self._stage))
        try:
            while not self._stopping.is_set():
                shards = await asyncio.to_thread(self._source.shards)
                if self._stopping.is_set():
                    return  # it may not know them all
                self._process.pauses.works(self._stage.name)
                if not self._has_begun:
                    self._source.began(await self._first(shards))
                    self._has_begun = True
                await self._readers.show()
                await self._turn(shards)
                if shards and self._ended.keys() >= set(shards):
                    self.exhausted = True
                    self._process.look_now.set()  # it may be the end of the run
                    return
                await self._passed()
        finally:
            await self._end([*self._running])
            await self._left()

    @property
    def fault(self) -> SourceError | None:
        """The error because of which the source, though it has ended, is not completely in the pipeline."""
        return next((worker.fault for worker in self._ended.values() if worker.fault is not None), None)

    def stop(self) -> None:
        """Finish the chunks that are entering, and return from `run`; later chunks are read again."""
        self._stopping.set()
        self._source.close()
        for worker in (*(worker for worker, _ in self._running.values()), *self._ended.values()):
            worker.stop()

    def read_again(self) -> None:
        """Read all shards from their stored positions, as `SourceWorker.read_again` does."""
        self.exhausted = False
        self._ended.clear()
        for worker, _ in self._running.values():
            worker.read_again()

    @property
    def has_room(self) -> bool:
        """Whether it may continue: no stream below is full."""
        return all(worker.has_room for worker, _ in self._running.values())

    def update(self, state: PipelineState) -> None:
        """Update from the pipeline's state."""
        self._last = state
        for worker, _ in self._running.values():
            worker.update(state)

    async def _first(self, shards: Sequence[str]) -> Sequence[str]:
        """Name the shards that existed when any process first read the source."""
        meta = Keyspace(self._process.graph.pipeline).meta
        field, client = f"position:{self._stage.name}:{FIRST}", self._process.client
        await client.ingest(Position(meta, field, "", " ".join(shards)), ())  # refused if it is already there
        found: bytes = await client.channel.execute("HGET", meta, field, key=meta)
        return found.decode().split(" ")

    async def _turn(self, shards: Sequence[str]) -> None:
        """Note which shards have ended, release those now another's, and begin this process's new ones."""
        for shard in [shard for shard, (_, task) in self._running.items() if task.done()]:
            self._note(shard, *self._running.pop(shard))
        others = await self._readers.others()
        mine = share(shards, [self._readers.name, *others], self._readers.name)
        if not self._source.endless and mine <= self._ended.keys():
            # Wait for the shards that others have begun and not ended: the run ends when everything is read.
            mine = set(shards)
        if len(mine) > self._beside:
            await self._end([*self._running])  # together they would read too much
            self._beside = len(mine)
        await self._end([shard for shard in self._running if shard not in mine])
        for shard in sorted(mine - self._running.keys() - self._ended.keys()):
            self._begin(shard)

    def _begin(self, shard: str) -> None:
        source = _OneShard(self._source, shard)
        worker = SourceWorker(self._process, self._stage, source, part=shard, beside=self._beside)
        if self._last is not None:
            worker.update(self._last)
        self._running[shard] = worker, asyncio.ensure_future(worker.run())

    async def _end(self, shards: Sequence[str]) -> None:
        """Stop reading shards after the chunks that are entering; at once if this is cancelled."""
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
        """Note how the reading of a shard has ended: finally, or until the next turn."""
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not (isinstance(error, StreamError) and error.retryable):
            self._process.halt(error)
        elif error is None and worker.exhausted:
            if not self._source.endless:
                self._ended[shard] = worker
            elif worker.fault is not None:
                # An endless source never reaches its end, where the fault would be reported.
                self._process.halt(worker.fault)

    async def _passed(self) -> None:
        """Wait for the next turn, or until the reading of a shard ends."""
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
    """Present one shard of a source as a source."""

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
    """Create the presence by which this process shows that it reads a source."""
    graph: Graph = process.graph
    key = Keyspace(graph.pipeline).lease(stage, READERS)
    return Presence(process.client, graph.pipeline, key=key, seconds=SECONDS)


def share(shards: Sequence[str], readers: Sequence[str], own: str) -> set[str]:
    """
    Return the shards of one reader: as many as any other gets, give or take one.

    Args:
        shards: All shards.
        readers: The names of all readers.
        own: The name of the reader.
    """
    place = sorted(readers).index(own)
    return set(sorted(shards)[place :: len(readers)])
