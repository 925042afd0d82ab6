"""SourcePump: moves a source's records into the pipeline, and its position with them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence

import structlog

from rsq_pipe.errors import EncodeError, SourceError, StreamError, StreamFullError
from rsq_pipe.ids import record_id
from rsq_pipe.registry import connector
from rsq_pipe.runtime.dead_letter_log import DeadLetterLog
from rsq_pipe.runtime.gate import Gate
from rsq_pipe.runtime.keyspace import Keyspace
from rsq_pipe.runtime.prefetch import Prefetch
from rsq_pipe.runtime.stage_worker import serializer
from rsq_pipe.runtime.tenure import SECONDS, Tenure
from rsq_pipe.sources.source import Arrival, Chunk, Source
from rsq_pipe.spec.graph import ConnectorRef, Graph, Stage
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.dead_letter import dead_letter
from rsq_pipe.streams.entry import RawEntry, fields_of
from rsq_pipe.streams.headers import RID, is_reserved
from rsq_pipe.streams.lease import Lease
from rsq_pipe.streams.settlement import Counters, Output, Position, Settled
from rsq_pipe.streams.waiting import first
from rsq_pipe.telemetry.observer import SourceObserver
from rsq_pipe.telemetry.redaction import redact


class SourcePump:
    """
    Pump one source stage. Of several processes one pumps; the others stand by.

    Args:
        client: The server.
        graph: The pipeline.
        stage: The source stage.
        observer: Told of each chunk.
    """

    def __init__(
        self, client: StreamClient, graph: Graph, stage: Stage, observer: SourceObserver | None = None
    ) -> None:
        self._source = connected(graph, stage)
        self._client = client
        self._graph = graph
        self._stage = stage
        self._keys = Keyspace(graph.pipeline)
        self._serializer = serializer(graph)
        self._target = self._keys.stream(stage.outputs[""])
        self._stopping = asyncio.Event()
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline, stage=stage.name)
        self._told = DeadLetterLog(self._log)
        # What standard input holds is new with every process, so its record ids must be, too.
        self._name = stage.name if self._source.resumable else f"{stage.name}-{secrets.token_hex(4)}"
        self._observer = observer or SourceObserver()
        self._raw_is_json = graph.serializer == "json"
        self._chunks: Prefetch[Chunk] | None = None
        self.gate = Gate()
        self.exhausted = False
        """Whether everything the source had is in the pipeline, but for what `fault` tells of."""
        self._faults: list[SourceError] = []

    async def run(self) -> None:
        """
        Pump until the source ends, or `stop`.

        Raises:
            SourceError: There is nothing to read. A file that cannot be read does not keep the others from
                being read: `fault` tells of it.

        Delivery: each record enters once; the position moves in the step that stores the records.
        Cancellation: between two chunks; nothing is half stored.
        """
        if not self._source.resumable:
            # Every process has a standard input of its own; nobody else could go on with it.
            await self._pump(0)
            return
        lease = Lease(self._client, self._keys.lease(self._stage, "source"), SECONDS)
        await Tenure(lease, f"source {self._stage.name}", self._stopping).hold(self._pump)

    @property
    def fault(self) -> SourceError | None:
        """Why not all of the source is in the pipeline, though it has ended."""
        if len(self._faults) < 2:
            return self._faults[0] if self._faults else None
        first, *others = self._faults
        files = "file" if len(others) == 1 else "files"
        return SourceError(
            f"{first} (and {len(others)} more {files} that cannot be read: see the log)",
            stage=self._stage.name,
        )

    def stop(self) -> None:
        """Store the chunk in hand and return from `run`."""
        self._stopping.set()
        if self._chunks is not None:
            self._chunks.close()

    async def _pump(self, _: int) -> None:
        self._faults = []
        shards = await asyncio.to_thread(self._source.shards)
        for shard in shards:
            try:
                while not self._stopping.is_set() and not await self._pump_shard(shard):
                    pass
            except SourceError as exc:
                # The run is not ended by it: that would keep what the other files hold from the sinks.
                self._faults.append(exc)
                if len(shards) > 1:
                    self._log.error("cannot go on with a file; the others are read", error=str(exc))
        self.exhausted = not self._stopping.is_set()

    async def _pump_shard(self, shard: str) -> bool:
        """Pump one shard from its stored position; False if another process moved that meanwhile."""
        field = f"position:{self._name}:{shard}"
        position = await self._stored(field)
        chunks = self._chunks = Prefetch(self._source.read(shard, position, self._stage.batch_size))
        try:
            async for chunk in chunks:
                if not await self._passed():
                    return True
                settled = await self._ingest(
                    chunk, Position(self._keys.meta, field, position, chunk.position)
                )
                if settled is None:
                    return True
                if settled.refused is not None:
                    return False
                position = chunk.position
                self.gate.spend(len(chunk.arrivals))
            return True
        finally:
            chunks.close()
            if not self._source.resumable:
                with contextlib.suppress(StreamError):  # a field too many in the hash; nobody reads it again
                    await self._client.channel.execute("HDEL", self._keys.meta, field, key=self._keys.meta)

    async def _stored(self, field: str) -> str:
        backoff = Backoff(f"source {self._stage.name}")
        while True:
            try:
                reply = await self._client.channel.execute(
                    "HGET", self._keys.meta, field, key=self._keys.meta
                )
            except StreamError as exc:
                if not exc.retryable or self._stopping.is_set():
                    raise
                await backoff.wait(exc, self._stopping)
            else:
                backoff.reset()
                return reply.decode() if reply else ""

    async def _passed(self) -> bool:
        """Wait for room below; False where the pump is to stop."""
        if not self.gate.is_open:
            await first(self.gate.passed(), self._stopping.wait())
        return not self._stopping.is_set()

    async def _ingest(self, chunk: Chunk, position: Position) -> Settled | None:
        """Store a chunk; None where the pump was stopped while the server was away."""
        outputs, dead = self._observer.enter(*self._entries(chunk.arrivals))
        settled = await self._stored_once(position, outputs, dead)
        self._observer.settled(settled)
        return settled

    async def _stored_once(
        self, position: Position, outputs: Sequence[Output], dead: Sequence[Output]
    ) -> Settled | None:
        counters = Counters(self._keys.meta, f"{self._stage.name}:")
        backoff = Backoff(f"source {self._stage.name}")
        while True:
            try:
                settled = await self._client.ingest(position, outputs, dead=dead, counters=counters)
            except StreamError as exc:
                # A server out of memory is backpressure: what drains it may write on, what fills it waits.
                if not exc.retryable and not isinstance(exc, StreamFullError):
                    raise
                if self._stopping.is_set():
                    return None
                await backoff.wait(exc, self._stopping)
            else:
                backoff.reset()
                return settled

    def _entries(self, arrivals: Sequence[Arrival]) -> tuple[list[Output], list[Output]]:
        outputs: list[Output] = []
        dead: list[Output] = []
        for arrival in arrivals:
            beside = {name: text for name, text in arrival.headers if not is_reserved(name)}
            headers = {RID: record_id(self._name, arrival.offset)} | beside
            if arrival.data is None:
                dead.append(self._dead(arrival.raw, headers, arrival, arrival.error))
                continue
            try:
                _check_headers(arrival)
                raw = arrival.raw
                data = raw if raw and self._raw_is_json else self._serializer.encode(arrival.data)
            except EncodeError as exc:
                dead.append(self._dead(arrival.raw or repr(arrival.data).encode(), headers, arrival, exc))
                continue
            outputs.append(Output(self._target, fields_of(data, headers)))
        self._told.flush()
        return outputs, dead

    def _dead(
        self, raw: bytes, headers: dict[str, str], arrival: Arrival, error: BaseException | str
    ) -> Output:
        fields = [item.encode() if isinstance(item, str) else item for item in fields_of(raw, headers)]
        failed = RawEntry(self._stage.name, arrival.offset, fields)
        self._told.add(headers[RID], str(error))
        target = self._keys.dlq(self._stage)
        return dead_letter(
            *(target, failed),
            reason="decode_error",
            stage=self._stage.name,
            error=error,
            attempts=1,
            redact=redact,
        )


def _check_headers(arrival: Arrival) -> None:
    for name, _ in arrival.headers:
        if is_reserved(name):
            raise EncodeError(f"it came with the header {name!r}, which is rsq-pipe's own", arrival.data)


def connected(graph: Graph, stage: Stage) -> Source:
    """Make the source of a stage; nothing is opened yet."""
    ref: ConnectorRef = stage.options
    connect = connector("source", ref.type).connect
    if connect is None:
        raise LookupError(f"source {ref.type!r} cannot be connected to")
    source: Source = connect(ref.options, stage=stage.name, root=graph.root)
    return source
