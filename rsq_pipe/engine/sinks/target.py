"""Target: what a sink writes to, and the right to write to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from rsq_pipe.connectors.sink import (
    FencedError,
    Gather,
    GatheringSink,
    LimitedSink,
    NotifiedSink,
    PreparingSink,
    RowSink,
    SharedSink,
    TargetUnavailableError,
    Written,
)
from rsq_pipe.engine.changes.provision import replacing
from rsq_pipe.engine.connecting import sink_of
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.ownership.ownership import Superseded
from rsq_pipe.engine.sinks.open_call import OpenCall
from rsq_pipe.engine.state.legible import legible
from rsq_pipe.errors import SinkError, StreamError
from rsq_pipe.model.batch import Batch
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.protected import check_target
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.settlement import Position
from rsq_pipe.streams.waiting import uninterrupted

T = TypeVar("T")


class BegunAnewError(Exception):
    """Ends the reading of one of several writers: it must reopen its target before it reads on."""


def position_field(stage: Stage, target: str) -> str:
    """Name the field of the pipeline's hash that holds `epoch|position` of a sink's target."""
    return f"position:{stage.name}:{target}"


class Target:
    """
    Write batches to a sink, and know the position to store with each.

    The stored position is `epoch|position`, or the epoch alone if nothing was written yet. A process that
    gets the lease stores its own epoch first, and only then touches the target. From then on, a writer that
    was paused, or does not know yet that its lease has expired, has its settlement refused, whatever it has
    written since. `FileTarget` shows why no order of these steps can lose records.

    Args:
        client: The server.
        graph: The pipeline.
        stage: The sink stage.
        ledger: The name of its ledger; empty for the stage's name.
        away: Called with the reason each time the target cannot be written, and with "" once it can again.
    """

    def __init__(
        self,
        client: StreamClient,
        graph: Graph,
        stage: Stage,
        *,
        ledger: str = "",
        away: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._sink = sink_of(client, graph, stage, ledger)
        self._shared = self._sink if isinstance(self._sink, SharedSink) else None
        self._client = client
        self._graph = graph
        self._stage = stage
        self._keys = Keyspace(graph.pipeline)
        self.writers = self._shared.writers if self._shared is not None else 0
        """How many may write it at a time, each with a position of its own; 0 if it does not say."""
        self._field = position_field(stage, self.shard(0))
        self.call = OpenCall(self._sink.target)
        """The call to the sink that has not ended, if there is one."""
        self._shared_backoff = Backoff(f"sink {stage.name}")
        self._away = away
        self._fails = False  # whether the last write failed
        self._stored = ""
        self._epoch = 0
        self._shard = 0
        self._must_open = True

    @property
    def name(self) -> str:
        """The target's name, as a user would write it."""
        return self._sink.target

    @property
    def exclusive(self) -> bool:
        """Whether only one writer is allowed at a time."""
        return self._sink.exclusive

    @property
    def as_rows(self) -> bool:
        """Whether it takes records that are rows of values."""
        return isinstance(self._sink, RowSink) and self._sink.as_rows

    @property
    def most(self) -> int | None:
        """The most records it takes in one batch, if it sets a limit."""
        return self._sink.most if isinstance(self._sink, LimitedSink) else None

    @property
    def gather(self) -> Gather | None:
        """How much it wants in one batch, if it sets that."""
        return self._sink.gather if isinstance(self._sink, GatheringSink) else None

    def shard(self, number: int) -> str:
        """Name the shard of one of several writers; the first has the name that a single writer has."""
        return f"{self.name}%{number}" if number else self.name

    def begin(self, epoch: int, shard: int = 0) -> None:
        """Write from now on under a lease's epoch, as one of the writers."""
        self._epoch = epoch
        self._shard = shard
        self._field = position_field(self._stage, self.shard(shard))
        self._loop = asyncio.get_running_loop()
        self._must_open = True
        # An outage that this process saw as the writer before is over, or is found anew.
        self._shared_backoff, self._fails = Backoff(f"sink {self._stage.name}"), False

    async def open(self, stopping: asyncio.Event) -> bool:
        """
        Become the writer, waiting out an outage of the server.

        Returns:
            Whether it may be written; False if stopped.

        Raises:
            SinkError: It cannot be opened.
            Superseded: Another process has become its writer.
        """
        backoff = Backoff(f"sink {self._stage.name}")
        while self._must_open and not stopping.is_set():
            try:
                await self._open_once()
                backoff.reset()
                if not self._fails:
                    self._away("")
            except (TargetUnavailableError, StreamError) as exc:
                await self._wait_out(exc, backoff, stopping)
        return not self._must_open

    async def write(
        self, batch: Batch, stopping: asyncio.Event, *, redelivered: bool = False
    ) -> tuple[Written, Position | None] | None:
        """
        Write a batch, waiting out an outage of the target, or of the server that stores its preparation.

        The batch counts once the returned position has been stored; the caller then calls `stored`.

        Args:
            batch: The records.
            stopping: Ends the wait for the target.
            redelivered: Whether one of the records was delivered before.

        Returns:
            The outcomes and the position; None if stopped: then nothing of the batch counts.

        Raises:
            SinkError: It cannot be written; nothing of the batch counts.
            Superseded: Another process has become its writer.
            BegunAnewError: It is one of several writers, and its entries may belong to another by now.
        """
        if self._shared is not None:
            return await self._write_shared(batch, stopping, redelivered=redelivered)
        backoff = Backoff(f"sink {self._stage.name}")
        while True:
            try:
                written = await self._write_once(batch, self._sink.write)
            except (TargetUnavailableError, StreamError) as exc:
                await self._wait_out(exc, backoff, stopping)
                self._fails = True
                if stopping.is_set() or not await self.open(stopping):
                    return None
            else:
                backoff.reset()
                self._report_recovery()
                return written

    async def _write_shared(
        self, batch: Batch, stopping: asyncio.Event, *, redelivered: bool
    ) -> tuple[Written, Position | None]:
        assert self._shared is not None
        write = self._shared.write_again if redelivered else self._sink.write
        try:
            return await self._write_once(batch, write)
        except FencedError as exc:
            raise BegunAnewError from exc
        except TargetUnavailableError as exc:
            await self._wait_out(exc, self._shared_backoff, stopping)
            self._fails = True
            raise BegunAnewError from exc

    async def _write_once(
        self, batch: Batch, write: Callable[[Batch], Written]
    ) -> tuple[Written, Position | None]:
        # Until the settlement is known to be committed, what is written now does not count: nothing may be
        # written after it.
        self._must_open = self._sink.exclusive
        if isinstance(self._sink, PreparingSink):
            prepared = await self._on_sink(self._sink.prepare, batch)
            if not await self._store(f"{self._epoch}|{prepared}"):
                raise TargetUnavailableError("another process has moved its stored position")
        written: Written = await self._on_sink(write, batch)
        if not self._sink.exclusive:
            return written, None
        new = f"{self._epoch}|{written.position}"
        return written, Position(self._keys.meta, self._field, self._stored, new)

    def stored(self, position: Position) -> None:
        """Note that a position was stored: everything written up to it counts."""
        self._stored = position.new
        self._must_open = False
        self._shared_backoff.reset()
        self._report_recovery()
        if isinstance(self._sink, NotifiedSink):
            self._sink.stored()

    async def _wait_out(self, exc: Exception, backoff: Backoff, stopping: asyncio.Event) -> None:
        """Report an outage, and wait before the next attempt; raise an error that does not pass."""
        if isinstance(exc, StreamError) and not exc.retryable:
            raise exc
        if isinstance(exc, TargetUnavailableError):  # an outage of the server cannot be reported to it
            self._away(str(exc))
        await backoff.wait(exc, stopping)

    def _report_recovery(self) -> None:
        if self._fails:
            self._fails = False
            self._away("")

    async def close(self) -> None:
        """Close the sink."""
        await self._on_sink(self._sink.close)

    async def is_writer(self) -> bool:
        """Return whether no later writer has stored its epoch; none can while the server is unreachable."""
        try:
            return await self._last_epoch() == self._epoch
        except StreamError:
            return True

    async def _open_once(self) -> None:
        """Fence earlier writers, undo what they left uncommitted, and store the position to continue at."""
        await self._on_sink(check_target, self._graph, self._stage)
        position, fresh = await self._fence()
        if self._shared is not None:
            self._shared.take(self._shard, await self._positions())
        try:
            still = self._must_replace if fresh and self.writers else self._is_latest_writer
            opened_at = await self._on_sink(self._sink.open, position, fresh=fresh, still=still)
        except SinkError as exc:
            if not await self.is_writer():
                raise Superseded from exc
            if exc.repairable:
                command = f"rsq-pipe repair {self._graph.spec} {self._stage.name}"
                message = f"{exc}; or let the pipeline continue in it as it is: {command}"
                raise SinkError(message, stage=self._stage.name) from exc
            raise
        if await self._store(f"{self._epoch}|{opened_at}"):
            self._must_open = False
            meta = self._keys.meta
            await self._client.channel.execute("HDEL", meta, replacing(self._stage), key=meta)

    async def _fence(self) -> tuple[str | None, bool]:
        """
        Store this writer's epoch, so that no earlier one can settle; only then read the position.

        Returns:
            The position, None if none was ever stored; and whether to replace what the target holds.
        """
        meta, mark = self._keys.meta, replacing(self._stage)
        while True:
            reply, fresh = await self._client.channel.execute("HMGET", meta, self._field, mark, key=meta)
            self._stored = reply.decode() if reply else ""
            epoch, separator, position = self._stored.partition("|")
            with legible(self._graph.pipeline, self._client.channel.address):
                is_later = int(epoch or 0) > self._epoch
            if is_later:  # opening would take the target from its current writer
                raise Superseded
            if await self._store(f"{self._epoch}{separator}{position}"):
                return (position, False) if separator else (None, bool(fresh))

    async def _positions(self) -> dict[int, str]:
        """Read the positions of all shards that ever existed."""
        meta, first = self._keys.meta, position_field(self._stage, self.name)
        reply = await self._client.channel.execute("HGETALL", meta, key=meta)
        positions: dict[int, str] = {}
        for field, value in zip(reply[::2], reply[1::2], strict=True):
            name, _, number = field.decode().partition(f"{first}%")
            if name == first or (not name and number):
                positions[int(number or 0)] = value.decode().partition("|")[2]
        return positions

    async def _store(self, new: str) -> bool:
        """Move the stored position, without entries; False if another process has moved it."""
        if new != self._stored:
            settled = await self._client.ingest(Position(self._keys.meta, self._field, self._stored, new), ())
            if settled.refused is not None:
                return False
            self._stored = new
        return True

    def _is_latest_writer(self) -> bool:
        """Return, in the sink's thread, whether this is the latest writer; raise if the server is away."""
        last_epoch = asyncio.run_coroutine_threadsafe(self._last_epoch(), self._loop)
        return last_epoch.result() == self._epoch

    def _must_replace(self) -> bool:
        """Return also whether the content must still be replaced, which only one of several writers does."""
        if not self._is_latest_writer():
            return False
        meta = self._keys.meta
        is_marked = self._client.channel.execute("HEXISTS", meta, replacing(self._stage), key=meta)
        return bool(asyncio.run_coroutine_threadsafe(is_marked, self._loop).result())

    async def _last_epoch(self) -> int:
        meta = self._keys.meta
        reply = await self._client.channel.execute("HGET", meta, self._field, key=meta)
        return int(reply.partition(b"|")[0]) if reply else -1

    async def _on_sink(self, call: Callable[..., T], *args: Any, **settings: Any) -> T:
        """Call the sink in a thread, to the end: another thread must not close what this one writes."""
        self.call.begin(time.monotonic())
        try:
            return await uninterrupted(asyncio.to_thread(call, *args, **settings))
        finally:
            self.call.end(time.monotonic())
