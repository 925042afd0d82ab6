"""RateLimiter: keeps a worker within its stage's `rate`, which all workers in all processes share."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.pauses.read_pause import ReadPause
from rsq_pipe.engine.pauses.uncounted_deliveries import UncountedDeliveries
from rsq_pipe.engine.process import Process
from rsq_pipe.errors import StreamError
from rsq_pipe.spec.graph import RateLimit, Stage
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.entry import RawEntry, records_in
from rsq_pipe.streams.script import RATE
from rsq_pipe.streams.waiting import first

_REASON = "rate"

_UNCOUNTED_AFTER = 0.05
"""Seconds that a batch in flight may wait before its delivery no longer counts."""

_RETURN_TIMEOUT = 0.5
"""Seconds that returning tokens may take at the end; tokens not returned count as used."""


class RateLimiter:
    """
    Keep records from being handled faster than a stage may.

    A worker takes tokens for a batch before it reads it: while the batch before is handled, it takes them out
    of the stage's bucket, and it reads once they would have been there. Tokens that it took but did not need
    are returned with the next call; if a batch was larger, the next one waits for that. Workers are served in
    the order in which they take, and none takes more than a `burst` at once, so that workers and processes
    take turns.

    Args:
        process: What the stages of this process share.
        stage: The stage.
        read_pause: Keeps the worker from reading; None for a source, which asks after it has read.
        most: Records of one batch, at most.
        uncounted: Keeps waiting entries from counting as delivered; None if that count does not matter.
    """

    def __init__(
        self,
        process: Process,
        stage: Stage,
        read_pause: ReadPause | None = None,
        most: int = 0,
        uncounted: UncountedDeliveries | None = None,
    ) -> None:
        self._rates = process.rates
        self._client = process.client
        self._isolation = process.isolation
        self._halt = process.halt
        self._stage = stage.name
        self._key = Keyspace(process.graph.pipeline).rate(stage)
        self._read_pause = read_pause
        self._most = most or stage.batch_size
        self._uncounted = uncounted
        self._stopping = asyncio.Event()
        self._ahead: asyncio.Task[bool] | None = None
        self._taken = 0  # tokens that were taken for the next batch
        self._since = 0.0  # when the bucket would have held them

    def start(self) -> None:
        """Acquire tokens for the first batch; nothing is read before that."""
        if self._limit is not None:
            self._acquire_ahead(0)

    def stop(self) -> None:
        """Stop waiting."""
        self._stopping.set()

    async def end(self) -> None:
        """Return the unused tokens."""
        if self._ahead is not None:
            self._ahead.cancel()
            await asyncio.wait([self._ahead])
            self._ahead = None
        await self._put_back()

    async def begin(self, entries: Sequence[RawEntry]) -> bool:
        """
        Begin a batch that has been read.

        Returns:
            False if the worker was stopped while the batch waited; then it must not be handled.
        """
        limit = self._rates.limits[self._stage]
        if limit is None:
            return True
        if self._read_pause is not None:
            self._read_pause.pause(_REASON)
        records = records_in(entries)
        if self._ahead is not None and not await self._wait_in_flight(self._ahead, entries):
            return False
        taken = self._taken
        if time.monotonic() - self._since > limit.burst / limit.per_second:
            # Kept so long that the bucket may be full again: used now, they would exceed the burst.
            kept, taken = taken, min(records, limit.burst)
            if not await self._wait_in_flight(asyncio.ensure_future(self._acquire(kept, taken)), entries):
                return False
        self._taken = 0
        self._acquire_ahead(taken - records)
        return True

    async def enter(self, records: int) -> bool:
        """Wait until a source may send records; return False if it was stopped before that."""
        if not await self._acquire(0, records):
            return False
        self._taken = 0
        return True

    @property
    def _limit(self) -> RateLimit | None:
        return self._rates.limits[self._stage]

    def _acquire_ahead(self, spare: int) -> None:
        assert self._read_pause is not None
        self._read_pause.pause(_REASON)
        self._ahead = asyncio.ensure_future(self._acquire_and_resume(spare, self._read_pause))
        self._ahead.add_done_callback(self._halt_if_failed)

    def _halt_if_failed(self, acquiring: asyncio.Task[bool]) -> None:
        # Nothing awaits the result while no batch is read.
        if not acquiring.cancelled() and (exc := acquiring.exception()) is not None:
            self._halt(exc)

    async def _acquire_and_resume(self, spare: int, read_pause: ReadPause) -> bool:
        if not await self._acquire(spare):
            return False
        self._since = time.monotonic()
        read_pause.resume(_REASON)
        return True

    async def _wait_in_flight(self, acquiring: asyncio.Future[bool], entries: Sequence[RawEntry]) -> bool:
        """Wait with a batch in flight, without keeping other workers from handling theirs."""
        await asyncio.wait([acquiring], timeout=_UNCOUNTED_AFTER)
        if not acquiring.done():
            if self._uncounted is not None:
                await self._uncounted.uncount(entries)
            async with self._isolation.suspended():
                await asyncio.wait([acquiring])
            if self._uncounted is not None:
                await self._uncounted.recount(entries, self._stopping)
        return acquiring.result()

    async def _acquire(self, spare: int, records: int = 0) -> bool:
        """
        Take tokens for a batch, and wait until they would have been there; start over if the limit changes.

        Args:
            spare: Tokens to return first; negative if more were used than taken.
            records: How many to take; as many as a batch may have if left out.
        """
        while (limit := self._limit) is not None:
            changed = self._rates.changed
            wanted = records or min(self._most, limit.burst)
            seconds = await self._take(limit, spare, wanted)
            if seconds is None:
                return False
            self._taken = spare = wanted
            if seconds > 0:
                await first(self._stopping.wait(), changed.wait(), asyncio.sleep(seconds))
                if changed.is_set():
                    continue
            if self._stopping.is_set():
                await self._put_back()
                return False
            return True
        return not self._stopping.is_set()

    async def _take(self, limit: RateLimit, spare: int, records: int) -> float | None:
        """Take from the bucket; None if the worker is stopped while the server is unreachable."""
        backoff = Backoff(f"rate of {self._stage}")
        arguments = [repr(limit.per_second), str(limit.burst), str(spare), str(records)]
        run = self._client.channel.run
        milliseconds: int | None = await backoff.unless_stopped(
            lambda: run(RATE, [self._key], arguments), self._stopping
        )
        return None if milliseconds is None else milliseconds / 1000

    async def _put_back(self) -> None:
        limit, taken = self._limit, self._taken
        self._taken = 0
        if limit is None or not taken:
            return
        arguments = [repr(limit.per_second), str(limit.burst), str(taken), "0"]
        with contextlib.suppress(StreamError, TimeoutError):
            async with asyncio.timeout(_RETURN_TIMEOUT):
                await self._client.channel.run(RATE, [self._key], arguments)
