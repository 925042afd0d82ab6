"""StreamConsumer: reads a group's entries in batches, has them handled, and settles them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import ClassVar, TypeAlias
from weakref import WeakSet

from rsq_pipe.errors import GroupLostError, StreamError
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.batch_reader import BatchReader, Reader, ReadSize
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.in_flight import InFlight, Isolation
from rsq_pipe.streams.membership import Membership
from rsq_pipe.streams.metrics import ConsumerMetrics, ConsumerTally
from rsq_pipe.streams.push import ErrorHook, Handler, Push
from rsq_pipe.streams.reclaim import PendingSeen, Reclaim
from rsq_pipe.streams.retry import DLQHandler
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.streams.settlement import Counters, Entry, Settled, Settlement
from rsq_pipe.streams.waiting import first, until

_UNBLOCKED_PAUSE = 0.05
"""Seconds between two reads of an empty stream if `block_ms` is 0."""

SettledHook: TypeAlias = Callable[[Settlement, Settled], None]


class StreamConsumer:
    """
    Consume one or several streams through a consumer group.

    It has two interfaces. `batches` and `settle` are for a loop that pulls. `run` is such a loop, and pushes:
    the handler gets a batch and returns the ids it finished, or a Settlement that says what becomes of each
    entry. Other entries stay pending and come back when they have been idle for `min_idle_claim_ms`; so do
    the entries of consumers that died. Near its last delivery an entry comes alone, and after
    `max_deliveries` the push interface dead-letters it.

    Args:
        client: The server.
        stream: The stream's name, or several names; the first is read first.
        config: All other settings; see ConsumerConfig.
        handler: Called with one batch at a time; None for a consumer that is read by pulling.
        dlq_handler: Called with a message and a reason before it is dead-lettered; if it raises, the entry
            stays pending.
        serializer: How records are decoded; a record it cannot decode is dead-lettered as `decode_error`.
        error_hook: Called with exceptions of a handler, a read or a settlement; may be async.
        counters: The counters that each settlement updates in its own step.
        on_settled: Called with every settlement and its result.
        isolation: Shared with the process's other consumers, so that an entry in its last delivery is all
            the process has in flight; one of its own if left out.
        pending_seen: Updated by code that reads the groups anyway; without it each reclaim reads them.
    """

    _live: ClassVar[WeakSet[StreamConsumer]] = WeakSet()

    def __init__(
        self,
        client: StreamClient,
        stream: str | Sequence[str],
        config: ConsumerConfig,
        handler: Handler | None = None,
        dlq_handler: DLQHandler | None = None,
        serializer: Serializer | None = None,
        error_hook: ErrorHook | None = None,
        *,
        counters: Counters | None = None,
        on_settled: SettledHook | None = None,
        isolation: Isolation | None = None,
        read_size: ReadSize | None = None,
        pending_seen: PendingSeen | None = None,
    ) -> None:
        self.client = client
        self.streams = (stream,) if isinstance(stream, str) else tuple(stream)
        self.config = config
        self._counters = counters
        self._on_settled = on_settled
        self._isolation = Isolation() if isolation is None else isolation
        group, name = config.group, config.worker_name
        keys = [client.key(one) for one in self.streams]
        self._membership = Membership(client, self.streams, config)
        self._stopping = asyncio.Event()
        held = self._in_flight = InFlight(client.channel, group, name, self._held)
        size = self._read_size = read_size or ReadSize(config.batch_size)
        self._reclaim = Reclaim(client, self.streams, config, held, size, pending_seen)
        self._wake = asyncio.Event()  # set when there may be something to hand out
        self._reader = Reader(client.channel, keys, group, name)
        self._batches = BatchReader(
            *(self._reader, config, size, self._stopping),
            find_lost=self._reclaim.find_lost,
            ready=self._wake.set,
        )
        self._tally = ConsumerTally()
        self._push = Push(
            *(client, config, handler, dlq_handler, serializer, error_hook),
            settle=self.settle,
            tally=self._tally,
        )
        self._ahead = False
        self.hands_back_uncounted = (
            False  # whether entries it leaves pending are handed back as if never delivered
        )
        self.has_begun = False  # if not: whether they still show that they were delivered
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._failed = False  # whether handling or settling the last batch failed
        self._backoff, self._settling = Backoff(group), Backoff(group)
        StreamConsumer._live.add(self)

    async def run(self) -> None:
        """
        Consume until `stop` is called.

        Raises:
            StreamError: Only with `halt_on_fault`, and only errors that time does not fix.

        Delivery: at least once to the handler; once to the streams a Settlement writes to.
        Cancellation: cancels the handler, lets a settlement end, then hands back pending entries.
        """
        async with aclosing(self._turns()) as turns:
            async for entries in turns:
                try:
                    await self._push.handle(entries)
                except Exception as exc:  # noqa: BLE001  the loop lives on: what was read is pending and comes back
                    self._failed = True
                    await self._report_and_back_off(exc, self._backoff)

    def batches(self, *, ahead: bool = False) -> AsyncGenerator[Sequence[RawEntry], None]:
        """
        Yield batches of entries, to be settled, until `stop` is called; close it if you leave it early.

        Redelivered entries come with their delivery count, even those delivered too often. An entry that is
        not settled when the next batch is requested stays pending, and comes back.

        Args:
            ahead: Whether the next batch may be read while one is handled. If the process is killed, both
                have been delivered once more; a stop hands back entries read ahead as if never delivered.

        Raises:
            StreamError: Like `run`.

        Delivery: at least once to the caller; once to the streams a Settlement writes to.
        Cancellation: hands back pending entries.
        """
        self.hands_back_uncounted = True
        self._ahead = ahead
        return self._turns()

    def stop(self) -> None:
        """Finish the batch in flight, settle it, hand back the rest and return from `run`; idempotent."""
        self._stopping.set()
        self._reclaim.called.set()
        self._wake.set()

    def flush(self) -> None:
        """Hand out a batch that waits to be full as it is."""
        self._batches.flush()

    def pause(self) -> None:
        """Begin no batch until `resume`; one that is in flight is handled."""
        self._resumed.clear()

    def resume(self) -> None:
        """Take new batches again."""
        self._resumed.set()

    async def run_once(self) -> None:
        """
        Read and handle one batch, then reclaim and handle due entries, and dead-letter exhausted ones.

        Raises:
            StreamError: From the server. A lost group is created again by the next turn.
        """
        self._tally.sample()
        beat = asyncio.ensure_future(self._in_flight.beat(self.config.heartbeat_ms))
        try:
            await self._membership.ensure()
            async with aclosing(self._new_batches()) as batches:
                async for entries in batches:
                    await self._push.handle(entries)
            self._reclaim.waiting = await self._reclaim.tick()
            async with aclosing(self._due_batches()) as batches:
                async for entries in batches:
                    await self._push.handle(entries)
            await self._membership.tend()
        except GroupLostError:
            self._membership.lost()
            raise
        finally:
            beat.cancel()
            await asyncio.wait([beat])

    def metrics(self) -> ConsumerMetrics:
        """Return how much was consumed and how fast; asks no server."""
        return self._tally.metrics()

    @classmethod
    def all_metrics(cls) -> list[ConsumerMetrics]:
        """Return the metrics of every live consumer of this process."""
        return [consumer.metrics() for consumer in cls._live]

    async def _turns(self) -> AsyncGenerator[Sequence[RawEntry], None]:
        """Hand out batches until stopped; entries to be handled again go before new ones."""
        async with self._background_tasks():
            while not self._stopping.is_set():
                read = self._tally.read
                batches = self._due_batches() if self._reclaim.waiting else self._new_batches()
                try:
                    if self.config.create_groups:
                        await self._membership.ensure()
                    async with aclosing(batches):
                        async for entries in batches:
                            yield entries
                except Exception as exc:  # noqa: BLE001  the loop lives on: what was read is pending and comes back
                    await self._report_and_back_off(exc, self._backoff)
                    continue
                if self._failed:
                    self._failed = False
                    continue
                if self._backoff.is_failing:
                    self._backoff.reset()
                if read == self._tally.read and not self.config.block_ms:
                    self._wake.clear()
                    await until(self._wake, _UNBLOCKED_PAUSE)

    async def _new_batches(self) -> AsyncGenerator[Sequence[RawEntry], None]:
        """Read, and hand out the entries, until there is something else to do first."""
        if not (self._resumed.is_set() or await self._until_resumed()):
            return
        self._batches.begin()
        # A stop ends a read that waits; a batch that has entries and waits for more is handed out.
        while not (self._batches.is_ready or self._reclaim.waiting):
            self._wake.clear()
            await self._wake.wait()
        isolation = self._isolation
        async with isolation.beside_others():
            # Left between two batches if this consumer is paused, or another has to handle an entry alone: a
            # waiting consumer must not block the work that would end its wait.
            while self._batches.is_ready and not self._reclaim.waiting:
                if not (self._resumed.is_set() and isolation.is_shared):
                    return
                entries = self._batches.take(ahead=self._ahead)
                if not entries:
                    return
                began = time.monotonic()
                self._tally.first = self._tally.first or began
                self._tally.read += len(entries)
                if self.config.create_groups:
                    self._membership.took(entries)
                try:
                    yield entries
                finally:
                    self._read_size.handling_seconds = time.monotonic() - began
                    self._batches.handed_out = ()
                if self._failed:
                    self._batches.let_go()
                    return
                if self.config.create_groups:
                    self._membership.remember(entries)
                if self._stopping.is_set() and not self._batches.has_rest:
                    return  # entries read ahead are handed back

    async def _due_batches(self) -> AsyncGenerator[Sequence[RawEntry], None]:
        """Hand out entries again: in batches at first, then alone those that may have killed a worker."""
        reclaim = self._reclaim
        if self.config.create_groups:
            self._membership.took(reclaim.waiting)
        try:
            # All of them before new entries: in turns with new ones, each would wait for a whole batch, and
            # the oldest records of all would be handled last.
            alone = False
            while reclaim.waiting and not self._failed and await self._until_resumed():
                if self._stopping.is_set():
                    break
                async with self._isolation.alone() if alone else self._isolation.beside_others():
                    again = await reclaim.redeliver(isolated=alone)
                    if again.entries:
                        self._tally.first = self._tally.first or time.monotonic()
                        self._tally.read += len(again.entries)
                        yield again.entries
                alone = again.must_be_alone
                reclaim.dealt(again.dealt)
        finally:
            reclaim.let_go()

    async def _until_resumed(self) -> bool:
        """Wait while paused; return False if stopped before the pause ends."""
        # With no batch in flight: a waiting consumer must not block the work that would end its wait.
        await first(self._resumed.wait(), self._stopping.wait())
        return self._resumed.is_set()

    def _held(self) -> Iterator[RawEntry | Entry]:
        return itertools.chain(self._batches.held(), self._reclaim.held())

    @asynccontextmanager
    async def _background_tasks(self) -> AsyncIterator[None]:
        """Reclaim and keep entries alive while batches are handed out; hand back the rest afterwards."""
        reclaiming = asyncio.ensure_future(self._reclaim_until_stopped())
        reclaiming.add_done_callback(lambda _: self.stop())  # before `stop` it ends only by a fault
        beside = (
            self._in_flight.beat(self.config.heartbeat_ms),
            self._tally.sample_on(),
            self._end_blocked_read_on_stop(),
        )
        others = [asyncio.ensure_future(one) for one in beside]
        try:
            yield
            await reclaiming
        finally:
            self.stop()
            for task in (reclaiming, *others):
                task.cancel()
            await asyncio.wait([reclaiming, *others])
            await self._batches.close()
            # A pulling caller settles failed entries, too; the rest was left by a stop or by another fault.
            await self._membership.leave(uncounted=self.hands_back_uncounted, has_begun=self.has_begun)

    async def _reclaim_until_stopped(self) -> None:
        backoff = Backoff(f"{self.config.group} (reclaim)")
        while not self._stopping.is_set():
            try:
                await self._membership.ensure()
                await self._reclaim.turn(self._wake.set, self._stopping)
                await self._membership.tend()
                backoff.reset()
            except Exception as exc:  # noqa: BLE001  as above
                await self._report_and_back_off(exc, backoff)
            if not self._stopping.is_set():
                await self._reclaim.until_next()

    async def _end_blocked_read_on_stop(self) -> None:
        await self._stopping.wait()
        await self._reader.interrupt()

    async def settle(self, settlement: Settlement, dead: int = 0) -> Settled:
        """
        Settle a batch, or part of one; repeat until the server is back, or the consumer is to stop.

        Args:
            settlement: What becomes of each entry.
            dead: How many of the entries count as dead letters although the settlement writes none for them.

        Raises:
            StreamError: Like `StreamClient.settle`; an unreachable server raises only once the consumer is
                stopped.

        Delivery: like `StreamClient.settle`. Cancellation: runs to the end.
        """
        config = self.config
        settlement.counters = settlement.counters or self._counters
        settled: Settled | None = None
        while settled is None:
            try:
                settled = await self.client.settle(
                    settlement, group=config.group, consumer=config.worker_name
                )
            except StreamError as exc:
                # Settling again adds nothing, so it is repeated until the server is back, or the consumer
                # stops.
                if not exc.retryable or self._stopping.is_set():
                    raise
                await self._report_and_back_off(exc, self._settling)
        if self._settling.is_failing:
            self._settling.reset()
        if config.create_groups:
            self._membership.settled(settled)
        acked = dead_letters = 0
        for part in settled.committed:
            # One taken by the user's function has no dead letter of ours, and counts as dead all the same.
            dead_letters += max(dead, len(part.dead))
            acked += len(part.entries)
        fenced = sum(len(part.entries) for part in settled.fenced) if settled.fenced else 0
        self._tally.acked += max(0, acked - dead_letters)
        self._tally.fenced += fenced
        self._tally.dead += dead_letters
        if self._on_settled is not None:
            self._on_settled(settlement, settled)
        return settled

    async def _report_and_back_off(self, exc: Exception, backoff: Backoff) -> None:
        self._tally.errors += 1
        await self._push.report(exc)
        if isinstance(exc, GroupLostError) and not self.config.halt_on_fault:
            self._membership.lost()
        elif self.config.halt_on_fault and not getattr(exc, "retryable", False):
            raise exc
        await backoff.wait(exc, self._stopping)
