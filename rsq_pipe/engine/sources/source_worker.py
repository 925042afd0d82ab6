"""SourceWorker: moves a source's records into the pipeline, together with its position."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from rsq_pipe.connectors.outage import report_outages_to
from rsq_pipe.connectors.source import Chunk, ClosableSource, EndlessSource, MeasuredSource, Source
from rsq_pipe.engine.backlog import Backlog
from rsq_pipe.engine.connecting import source_of
from rsq_pipe.engine.failures.failure_log import FailureLog
from rsq_pipe.engine.intake import at_most
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.links import chain
from rsq_pipe.engine.ownership.ownership import SECONDS, Ownership
from rsq_pipe.engine.packing import PACK_RECORDS, Unpacked
from rsq_pipe.engine.pauses.read_pause import ReadPause
from rsq_pipe.engine.plan import Plan, Work
from rsq_pipe.engine.planner import NO_ENTRIES, Planner
from rsq_pipe.engine.process import Process
from rsq_pipe.engine.rate_limiter import RateLimiter
from rsq_pipe.engine.sources.arrivals import Arrivals
from rsq_pipe.engine.sources.limited import Limited
from rsq_pipe.engine.sources.prefetch import Prefetch
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.errors import SourceError, StreamError
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.lease import Lease
from rsq_pipe.streams.settlement import Position, Settled
from rsq_pipe.streams.waiting import ended, first, until
from rsq_pipe.telemetry.observer import SourceTrace

RECORDS = 2_000
"""Maximum records that enter together, unless the source's `batch.size` is lower."""

CALM = 60.0
"""Seconds between two log lines about a full server: it keeps getting room for just one batch."""

LOOK = 0.25
"""Minimum seconds between two checks whether an endless source has something new."""

LOOK_AT_LEAST = 60.0
"""Maximum seconds between two such checks, however long they take."""


class SourceWorker:
    """
    Read one source, through the stages fused with it. One process reads; any others stand by.

    Args:
        process: What the stages of this process share.
        stage: The source stage.
        source: What it reads; made here if left out.
        part: The only shard `source` has, if processes share the shards.
        beside: Number of shards this process reads at once: together they bring as much as one would alone.
    """

    def __init__(
        self,
        process: Process,
        stage: Stage,
        source: Source | None = None,
        *,
        part: str = "",
        beside: int = 1,
    ) -> None:
        graph = process.graph
        self._source = source or source_of(graph, stage)
        self._part = part
        self._limit: Limited | None = None
        if process.limit is not None:
            self._source = self._limit = Limited(self._source, process.limit)
        endless = self._source if isinstance(self._source, EndlessSource) else None
        self._endless = endless if endless is not None and endless.endless else None
        self._process = process
        self._client = process.client
        self._stage = stage
        self._keys = Keyspace(graph.pipeline)
        self._chain = chain(graph, stage, process.names, process.observer, times=process.times)
        process.tables.watch(self._chain.links())
        self._planner = Planner(graph, stage)
        self._backlog = Backlog(process, [link.stage.name for link in self._chain.links()])
        self._rate_limiter = RateLimiter(process, stage)
        self._read_pause = ReadPause()
        process.holds.watch([link.stage.name for link in self._chain.links()], self._read_pause)
        self._stopping = asyncio.Event()
        from_outside = any(ref.external for other in graph.stages for ref in other.inputs)
        self._is_only_input = not from_outside and sum(other.verb == "source" for other in graph.stages) == 1
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline, stage=stage.name)
        self._failure_log = FailureLog(self._log)
        # Standard input brings new data in every process, so the record ids must be new, too.
        self._name = stage.name if self._source.resumable else f"{stage.name}-{secrets.token_hex(4)}"
        self._observer = process.observer.source(stage, self._keys.stream(stage.outputs[""]))
        as_rows = not self._chain.first.below
        self._arrivals = Arrivals(graph, stage, self._name, self._log, as_rows=as_rows)
        self._chunk_records = max(1, _chunk_size(graph, stage) // beside)
        self._full_server = Backoff(f"source {stage.name}", calm=CALM)
        self._chunks: Prefetch[Chunk] | None = None
        self.exhausted = False
        """Whether everything the source had is in the pipeline, except for what `fault` names."""
        self.late = 0.0
        """Seconds to wait so that another process can be the first to read."""
        self._faults: dict[str, SourceError] = {}
        self._reads_again = False  # whether the shards are to be read from their stored positions again
        self._look_took = math.inf

    async def run(self) -> None:
        """
        Read until the source ends, or `stop`.

        Raises:
            SourceError: There is nothing to read. If one file cannot be read, the others still are: `fault`
                names it.

        Delivery: each record enters once; the position moves in the same step that stores the records.
        Cancellation: between two chunks; nothing is half stored.
        """
        if not self._source.resumable:
            # Every process has its own standard input; no other process could continue it.
            await self._read(0)
            return
        lease = Lease(self._client, self._keys.lease(self._stage, self._part or "source"), SECONDS)
        what = f"source {self._stage.name} {self._part}".rstrip()
        stand_by = self._process.stand_by
        await Ownership(lease, stand_by, what, self._stopping, late=self.late).hold(self._read)

    @property
    def fault(self) -> SourceError | None:
        """The error because of which the source, though it has ended, is not completely in the pipeline."""
        if not self._faults:
            return None
        first, *others = self._faults.values()
        if not others:
            return first
        files = "file" if len(others) == 1 else "files"
        return SourceError(
            f"{first} (and {len(others)} more {files} that cannot be read: see the log)",
            stage=self._stage.name,
        )

    def stop(self) -> None:
        """Finish the chunk that is entering, and return from `run`; later chunks are read again."""
        self._stopping.set()
        if self._faults:
            self._process.pauses.works(self._stage.name, self._part)  # from now on the run's error reports it
        self._backlog.stop()
        self._rate_limiter.stop()
        if self._chunks is not None:
            self._chunks.close()

    def read_again(self) -> None:
        """Return from `run`, which then reads from the stored positions: the server has moved them back."""
        if self._source.resumable:
            self.exhausted, self._reads_again = False, True
            if self._chunks is not None:
                self._chunks.close()

    @property
    def share(self) -> float | None:
        """How much of the source this process has read, 0 to 1; None if that is unknown."""
        if self._chunks is None or not isinstance(self._source, MeasuredSource):
            return None
        return self._source.share()

    @property
    def has_room(self) -> bool:
        """Whether it may continue: no stream below is full."""
        return self._backlog.is_open

    def update(self, state: PipelineState) -> None:
        """Update from the pipeline's state."""
        self._backlog.update(state)
        self._chain.update(state.backlog)

    async def _read(self, _: int) -> None:
        self._faults, self._reads_again = {}, False
        report_outages_to(waiting(self._process, self._stage, self._part))
        await self._chain.open()
        try:
            shards = await asyncio.to_thread(self._source.shards)
            while shards or self._endless is not None:
                await self._read_shards(shards)
                if self._stopping.is_set() or self._reads_again or self._endless is None:
                    break
                shards = await self._until_changed(self._endless)
            self.exhausted = not (self._stopping.is_set() or self._reads_again)
            self._process.look_now.set()  # it may be the end of the run
        finally:
            if not self.exhausted:
                self._chunks = None  # another process may read on: how far is not known here
            self._failure_log.close()
            await self._chain.close()
            # A run that is being stopped reports it at its end; a source that failed stays reported.
            if not self._stopping.is_set() and not self._faults:
                self._process.pauses.works(self._stage.name, self._part)

    async def _read_shards(self, shards: Sequence[str]) -> None:
        for shard in shards:
            self._faults.pop(shard, None)
            try:
                while not (self._stopping.is_set() or self._reads_again):
                    if await self._read_shard(shard):
                        break
            except SourceError as exc:
                # This does not end the run: otherwise the records of other files would not reach the sinks.
                self._faults[shard] = exc
                if len(shards) > 1 or self._endless is not None:
                    self._log.error("cannot go on with a file; the others are read", error=str(exc))
                elif self._part or not self._is_only_input:
                    self._report_end(exc)
            if self._endless is not None:
                self._report_faults()

    def _report_end(self, exc: SourceError) -> None:
        """Report now that reading has ended: other stages may delay the run's own error for long."""
        what = "a source is not read any further; the run ends with this error once the others have ended"
        self._log.error(what, error=str(exc))
        self._process.pauses.waits(self._stage.name, f"not read any further: {exc}", self._part)

    async def _until_changed(self, source: EndlessSource) -> Sequence[str]:
        """Wait until shards have something new, and return them; none if stopped."""
        while not (self._stopping.is_set() or self._reads_again):
            began = time.monotonic()
            shards = await asyncio.to_thread(source.changed)
            await self._forget_gone(source)
            before, self._look_took = self._look_took, time.monotonic() - began
            if shards:
                return shards
            await until(self._stopping, until_next_look(self._look_took, before))
        return ()

    async def _forget_gone(self, source: EndlessSource) -> None:
        """Forget the files that could not be read, and were removed since."""
        gone = [shard for shard in self._faults if await asyncio.to_thread(source.is_gone, shard)]
        for shard in gone:
            del self._faults[shard]
        if gone:
            self._report_faults()

    def _report_faults(self) -> None:
        """Report which files of a source without end cannot be read, or that it works."""
        if self._endless is None or not self._faults:
            self._process.pauses.works(self._stage.name, self._part)
        else:
            why = f"cannot go on with a file; the others are read: {self.fault}"
            self._process.pauses.waits(self._stage.name, why, self._part)

    async def _read_shard(self, shard: str) -> bool:
        """Read one shard from its stored position; return False if another process has moved that since."""
        field = f"position:{self._name}:{shard}"
        position = await self._stored_position(field)
        chunks = self._chunks = Prefetch(self._source.read(shard, position, self._chunk_records))
        settlement: asyncio.Future[bool | None] = ended()  # of the chunk before the one that is processed
        try:
            async for chunk in chunks:
                self._report_faults()
                if not await self._may_enter(chunk):
                    break
                entering, work = await self._processed(chunk)
                # If the position of the chunk before was refused, this one's would be as well.
                refused = await settlement is False
                if refused or not await self._backlog.has_room() or self._stopping.is_set():
                    self._end_traces(entering, work, counts=False)
                    return not refused
                move = Position(self._keys.meta, field, position, chunk.position)
                settlement = asyncio.ensure_future(self._settle(entering, work, move, chunk.settled))
                position = chunk.position
            return await settlement is not False
        except SourceError:
            await settlement  # what was read before the error still enters
            raise
        finally:
            chunks.close()
            settlement.cancel()  # a command that was sent runs to its end
            await asyncio.gather(settlement, return_exceptions=True)
            if isinstance(self._source, ClosableSource):
                await asyncio.to_thread(self._source.close)
            if not self._source.resumable:
                with contextlib.suppress(StreamError):  # the unused field stays
                    await self._client.channel.execute("HDEL", self._keys.meta, field, key=self._keys.meta)

    async def _may_enter(self, chunk: Chunk) -> bool:
        """Wait until there is room below and no pause or `rate` forbids it; return False if stopped."""
        if not await self._backlog.has_room():
            return False
        await first(self._read_pause.until_resumed(), self._stopping.wait())
        if self._stopping.is_set():
            return False
        return await self._rate_limiter.enter(len(chunk.records) + len(chunk.broken))

    async def _stored_position(self, field: str) -> str:
        execute, meta = self._client.channel.execute, self._keys.meta
        backoff = Backoff(f"source {self._stage.name}")
        reply = await backoff.until_works(lambda: execute("HGET", meta, field, key=meta), self._stopping)
        return reply.decode() if reply else ""

    async def _processed(self, chunk: Chunk) -> tuple[SourceTrace, Work]:
        """Pass a chunk through the chain."""
        arrived = self._arrivals.batch(chunk)
        entering = self._observer.enter(arrived.batch, arrived.dead)
        steps = await self._chain.process(entering.batch) if entering.batch.records else []
        return entering, Work(Unpacked(entering.batch), steps, dict(enumerate(entering.dead)))

    async def _settle(
        self,
        entering: SourceTrace,
        work: Work,
        position: Position,
        on_settled: Callable[[bool], None] | None = None,
    ) -> bool | None:
        """
        Settle the results for a chunk, together with its position.

        If that fails, nothing more is read, and the error is raised where the settlement is awaited.

        Returns:
            False if another process has moved the position; None if stopped while the server is unreachable,
                or by `on_error: stop`.
        """
        try:
            plan = self._planner.plan(work, NO_ENTRIES, position)
            if plan.failures:
                self._failure_log.add(plan)
            if plan.halt is not None:
                self._process.halt(plan.halt)
                self._stopping.set()  # nothing after it enters
            settled = None if plan.halt is not None else await self._settled(plan)
            counts = settled is not None and settled.refused is None
            self._end_traces(entering, work, counts=counts)
            if on_settled is not None:
                on_settled(counts)
            if counts and self._limit is not None:
                self._limit.entered(len(work.unpacked.batch) + len(work.dead_letters))
                if self._limit.is_reached:
                    self._process.cut.add(self._stage.name)
            return None if settled is None else counts
        except BaseException:
            if self._chunks is not None:
                self._chunks.close()
            raise

    def _end_traces(self, entering: SourceTrace, work: Work, *, counts: bool) -> None:
        entering.settled(counts)
        for step in work.steps:
            step.end(() if counts else NO_ENTRIES)

    async def _settled(self, plan: Plan) -> Settled | None:
        def settle() -> Awaitable[Settled]:
            return self._client.settle(plan.settlement, group="", consumer="")

        # A server out of memory is backpressure: stages that drain it continue to write, sources wait.
        settled = await self._full_server.unless_stopped(settle, self._stopping, full=True)
        if settled is not None:
            self._backlog.note(settled)
        return settled


def waiting(process: Process, stage: Stage, part: str = "") -> Callable[[str], None]:
    """Make the callback through which a source's thread reports an outage."""
    loop = asyncio.get_running_loop()

    def note(why: str) -> None:
        if why:
            process.pauses.waits(stage.name, why, part)
        else:
            process.pauses.works(stage.name, part)

    def report(why: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: the report is no longer needed
            loop.call_soon_threadsafe(note, why)

    return report


def until_next_look(took: float, before: float) -> float:
    """
    Return how many seconds to wait until the next check: checks are to take a small part of the time.

    Args:
        took: Seconds that the last check took.
        before: Seconds that the one before took. The shorter counts: the process may have been frozen
            during the other.
    """
    return min(LOOK_AT_LEAST, max(LOOK, 10 * min(took, before)))


def _chunk_size(graph: Graph, stage: Stage) -> int:
    """Return how many records may enter together: a fraction of what the stream below may hold."""
    wished = max(stage.batch_size, RECORDS) if stage.batch_size >= PACK_RECORDS else stage.batch_size
    return max(1, at_most(stage, min(wished, graph.max_backlog // 4)))
