"""BatchReader: one consumer's new entries, a batch at a time, the next one read while one is handled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from rsq_pipe.errors import StreamError
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.in_flight import InFlight
from rsq_pipe.streams.read_size import ReadSize, bytes_in, records_in
from rsq_pipe.streams.reader import Reader
from rsq_pipe.streams.reclaim import Reclaim

QUICK = 0.1
"""Seconds: a batch that takes longer to handle hides no wait for the server, and others may be idle."""

_END = 0.5
"""Seconds that a read which was interrupted gets to end."""

_LOOK = 0.2
"""Seconds between two looks whether a batch that is being filled is wanted now."""

LARGE = 4 * 1024 * 1024
"""Bytes of a batch beside which no other is held."""


class BatchReader:
    """
    Read batches of new entries, and keep what was read alive from then on.

    The next batch is read while one is handled, where that hides a wait for the server: there is more to
    read, as the last read was full; batches are done quickly, so that nothing lies here which another
    consumer could have done by now; and two of them are not too much for the memory.

    Args:
        reader: Sends the reads; nobody else may.
        config: The consumer's settings.
        read_size: How many entries to ask for.
        in_flight: Told of what was read.
        reclaim: Asked for what was delivered in a reply that never arrived.
        stopping: Ends the wait for a batch to be full.
        found: Called when there is something to reclaim.
    """

    def __init__(
        self,
        reader: Reader,
        config: ConsumerConfig,
        read_size: ReadSize,
        in_flight: InFlight,
        reclaim: Reclaim,
        stopping: asyncio.Event,
        found: Callable[[], object],
    ) -> None:
        self._reader = reader
        self._wait = config.batch_wait_ms / 1000
        self._block_ms = config.block_ms
        self._read_size = read_size
        self._in_flight = in_flight
        self._reclaim = reclaim
        self._stopping = stopping
        self._found = found
        self._wanted = asyncio.Event()
        self._ahead: asyncio.Future[list[RawEntry]] | None = None
        self.took = QUICK
        """Seconds that handling the last batch took."""

    async def read(self) -> list[RawEntry]:
        """
        Return what was read ahead, or read.

        Raises:
            StreamError: As of the reader; the next call finds what may have been delivered.
        """
        ahead, self._ahead = self._ahead, None
        return await (ahead or self._read())

    def read_ahead(self, batch: Sequence[RawEntry]) -> None:
        """Begin to read the batch after this one, which is about to be handled, if that is worth while."""
        full = 2 * records_in(batch) >= self._read_size.records
        if full and self.took < QUICK and bytes_in(batch) < LARGE and not self._stopping.is_set():
            self._ahead = asyncio.ensure_future(self._read())

    def flush(self) -> None:
        """Have the batch that is being filled handled as it is: nothing more will come."""
        self._wanted.set()

    async def close(self) -> None:
        """Close the connection. What was read ahead stays pending."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await self._reader.interrupt()  # not cancelled: that could lose a reply on its way
            await asyncio.wait([ahead], timeout=_END)
            ahead.cancel()
            await asyncio.wait([ahead])
            if not ahead.cancelled():
                ahead.exception()  # seen: whatever it is, nothing is read any more
        await self._reader.close()

    async def _read(self) -> list[RawEntry]:
        if self._reader.may_have_lost_a_reply:
            if await self._reclaim.find_lost(self._reader.received):
                self._found()
            self._reader.may_have_lost_a_reply = False
        batch = await self._reader.read(self._read_size.entries(), self._block_ms)
        self._in_flight.take(batch)
        if batch and self._wait:
            await self._fill(batch)
        self._read_size.learn(batch)
        return batch

    async def _fill(self, batch: list[RawEntry]) -> None:
        """Add what arrives until the batch is full, or has waited long enough."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._wait
        self._wanted.clear()
        while (more := self._read_size.more(batch)) and not self._stopping.is_set():
            left = deadline - clock()
            if int(left * 1000) <= 0 or self._wanted.is_set():
                return
            try:
                added = await self._reader.read(more, int(min(left, _LOOK) * 1000))
            except StreamError:  # the next read meets it too, with nothing in flight
                return
            self._in_flight.take(added)
            batch += added
