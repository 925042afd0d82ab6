"""SinkWriter: writes a sink stage's records outside, and its position with their acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import structlog

from rsq_pipe.errors import SinkError, StreamError
from rsq_pipe.registry import connector
from rsq_pipe.runtime.gate import Gate
from rsq_pipe.runtime.groundwork import replacing
from rsq_pipe.runtime.identity import Identity
from rsq_pipe.runtime.journal import StageJournal
from rsq_pipe.runtime.keyspace import Keyspace
from rsq_pipe.runtime.process import Process
from rsq_pipe.runtime.stage_worker import consumer, serializer
from rsq_pipe.runtime.tenure import SECONDS, Superseded, Tenure
from rsq_pipe.runtime.unseen import Unseen
from rsq_pipe.runtime.verdict import Judge
from rsq_pipe.sinks.sink import Sink, TargetBusyError, Written
from rsq_pipe.spec.graph import ConnectorRef, Stage
from rsq_pipe.spec.protected import check_target
from rsq_pipe.stages.outcome import Failure
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.lease import Lease
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.settlement import Entry, Part, Position, Settled, Settlement
from rsq_pipe.streams.uninterrupted import uninterrupted
from rsq_pipe.telemetry.observer import StageObserver

T = TypeVar("T")


def position_field(stage: Stage, target: str) -> str:
    """Name the field of the pipeline's hash that holds `epoch|position` of a sink's target."""
    return f"position:{stage.name}:{target}"


class SinkWriter:
    """
    Write one sink stage. Where the target takes one writer, one process writes and the others stand by.

    The stored position is `epoch|position`, or the epoch alone where nothing was written yet. Whoever gets
    the lease stores its own epoch, and only then touches the target: from there on the settlement of a writer
    that was paused, or does not know yet that its lease has lapsed, is refused, whatever it managed to write
    meanwhile. `FileTarget` shows why no order of these steps can lose.

    Args:
        process: What the stages of this process share.
        stage: The sink stage.
        observer: Told of each batch.
    """

    def __init__(self, process: Process, stage: Stage, observer: StageObserver | None = None) -> None:
        ref: ConnectorRef = stage.options
        connect = connector("sink", ref.type).connect
        if connect is None:
            raise LookupError(f"sink {ref.type!r} cannot be connected to")
        self._sink: Sink = connect(ref.options, stage=stage.name, root=process.graph.root)
        graph = process.graph
        self._process = process
        self._client = process.client
        self._stage = stage
        self._keys = Keyspace(graph.pipeline)
        self._field = position_field(stage, self._sink.target)
        self._observer = observer or StageObserver()
        self._identity = Identity(graph, stage)
        self._unseen = Unseen(graph.pipeline, stage.name, self._identity, self._observer)
        self._journal = StageJournal(process.graph, stage)
        self._judge = Judge(graph, stage, serializer(graph), observer=self._observer)
        self._stored = ""
        self._must_open = True
        self._epoch = 0
        self._over = False
        self._superseded = False
        self._lease: Lease | None = None
        self._consumer: StreamConsumer | None = None
        self._stopping = asyncio.Event()
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline, stage=stage.name)
        self.gate = Gate()

    async def run(self) -> None:
        """
        Write until `stop`.

        Raises:
            SinkError: The target cannot be written; what was acknowledged stands in it.

        Delivery: as the sink says: a file holds each record once, also after a kill at any moment.
        Cancellation: a batch that is written and not settled is undone by whoever opens the sink next.
        """
        if not self._sink.exclusive:
            await self._write_on(0)
            return
        self._lease = Lease(self._client, self._keys.lease(self._stage, self._sink.target), SECONDS)
        await Tenure(self._lease, f"sink {self._stage.name}", self._stopping).hold(self._write_on)

    def stop(self) -> None:
        """Finish the batch in hand, settle it, and return from `run`."""
        self._stopping.set()
        if self._consumer is not None:
            self._consumer.stop()

    async def _write_on(self, epoch: int) -> None:
        self._epoch = epoch
        self._loop = asyncio.get_running_loop()
        self._must_open = True
        self._over = self._superseded = False
        try:
            await self._open()
            self._consumer = consumer(
                *(self._process, self._stage), self._handle, self._settled, self._unseen.note
            )
            if self._stopping.is_set():
                self._consumer.stop()
            await self._consumer.run()
        finally:
            # Also after an opening that was cancelled: its thread may hold the target by now.
            self._consumer = None
            self._unseen.tell()
            self._observer.close()
            await self._on_sink(self._sink.close)
        if self._superseded:
            raise Superseded

    async def _open(self) -> None:
        """Become the writer, also through an outage of the server; given up only where this is to stop."""
        backoff = Backoff(f"sink {self._stage.name}")
        while self._must_open and not self._stopping.is_set():
            try:
                await self._open_once()
                backoff.reset()
            except (TargetBusyError, StreamError) as exc:
                if isinstance(exc, StreamError) and not exc.retryable:
                    raise
                await backoff.wait(exc, self._stopping)

    async def _open_once(self) -> None:
        """Fence off every earlier writer, undo what one left uncommitted, and store where writing goes on."""
        await self._on_sink(check_target, self._process.graph, self._stage)
        place, fresh = await self._fence()
        try:
            opened = await self._on_sink(self._sink.open, place, fresh=fresh, still=self._still)
        except SinkError as exc:
            if await self._is_writer():
                raise
            raise Superseded from exc
        if await self._store(f"{self._epoch}|{opened}"):
            self._must_open = False
            meta = self._keys.meta
            await self._client.channel.execute("HDEL", meta, replacing(self._stage), key=meta)

    async def _fence(self) -> tuple[str | None, bool]:
        """
        Store this writer's epoch, so that no earlier one can settle any more; only then read the position.

        Returns:
            The position, None if nothing was ever stored; whether what the target holds is to be replaced.
        """
        meta, mark = self._keys.meta, replacing(self._stage)
        while True:
            reply, fresh = await self._client.channel.execute("HMGET", meta, self._field, mark, key=meta)
            self._stored = reply.decode() if reply else ""
            epoch, bar, place = self._stored.partition("|")
            if epoch and int(epoch) > self._epoch:  # opening would take the target from its present writer
                raise Superseded
            if await self._store(f"{self._epoch}{bar}{place}"):
                return (place, False) if bar else (None, bool(fresh))

    async def _store(self, new: str) -> bool:
        """Move the stored position, with no entries; False where another process has moved it."""
        if new != self._stored:
            settled = await self._client.ingest(Position(self._keys.meta, self._field, self._stored, new), ())
            if settled.refused is not None:
                return False
            self._stored = new
        return True

    async def _handle(self, messages: list[StreamMessage]) -> Settlement:
        messages = self._observer.begin(self._identity.identified(messages))
        settlement = await self._write(messages)
        self._journal.note(settlement, messages)
        self._observer.decided(settlement)
        return settlement

    async def _write(self, messages: list[StreamMessage]) -> Settlement:
        if self._over:  # after an error nothing more is written, in what is left to drain either
            return Settlement()
        try:
            await self._open()
            if self._must_open:
                return Settlement()
            written: Written = await self._on_sink(self._sink.write, messages)
            # Until the settlement is known to be committed these lines count for nothing: what is written
            # next, by whichever lane, must not stand behind them.
            self._must_open = self._sink.exclusive
        except (SinkError, Superseded) as exc:
            self._must_open = True
            await self._give_up(exc)
            return Settlement()
        failed = [messages[index] for index in written.failures]
        lost = set(written.failures)
        arrived = [message for index, message in enumerate(messages) if index not in lost]
        parts = [Part([Entry(m.stream, m.id, m.delivery_count) for m in arrived], delivered=len(arrived))]
        if failed:
            errors = [Failure(error, retryable=False) for error in written.failures.values()]
            verdict = self._judge.decide(failed, errors)
            parts += verdict.settlement.parts
            first = next(iter(written.failures.values()))
            self._log.warning("records that cannot be written", records=len(failed), first_error=str(first))
            if verdict.halt is not None:
                self._over = self._must_open = True
                self._process.halt(verdict.halt)
                return Settlement()
        if not self._sink.exclusive:
            return Settlement(parts)
        new = f"{self._epoch}|{written.position}"
        return Settlement(parts, Position(self._keys.meta, self._field, self._stored, new))

    async def _give_up(self, exc: Exception) -> None:
        """End the tenure where another process has taken the target over; else the run."""
        self._over = True
        if self._consumer is not None:
            self._consumer.stop()
        if isinstance(exc, Superseded) or not await self._is_writer():
            self._superseded = True
        else:
            self._process.halt(exc)

    async def _is_writer(self) -> bool:
        """Tell whether no later writer has stored its epoch; while the server is away, none can."""
        try:
            return await self._last_epoch() == self._epoch
        except StreamError:
            return True

    def _still(self) -> bool:
        """Tell the same in the sink's thread, where an answer is needed."""
        asked = asyncio.run_coroutine_threadsafe(self._last_epoch(), self._loop)
        return asked.result() == self._epoch

    async def _last_epoch(self) -> int:
        meta = self._keys.meta
        reply = await self._client.channel.execute("HGET", meta, self._field, key=meta)
        return int(reply.partition(b"|")[0]) if reply else -1

    async def _on_sink(self, call: Callable[..., T], *args: Any, **settings: Any) -> T:
        """Call the sink in a thread, to the end: a second thread must not close what the first one writes."""
        return await uninterrupted(asyncio.to_thread(call, *args, **settings))

    def _settled(self, settlement: Settlement, settled: Settled) -> None:
        self._observer.settled(settlement, settled)
        if settlement.position is None or not settlement.parts:
            return
        if settled.committed:
            self._stored = settlement.position.new
            self._must_open = False
