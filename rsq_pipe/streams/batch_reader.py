"""BatchReader: one consumer's new entries, a batch at a time, the next ones read while one is handled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rsq_pipe.errors import StreamError
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.in_flight import InFlight
from rsq_pipe.streams.read_size import ReadSize, first_of
from rsq_pipe.streams.reader import Reader
from rsq_pipe.streams.reclaim import Reclaim
from rsq_pipe.streams.settlement import MAX_ENTRIES

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
    Read new entries beside whatever else is done, one read at a time, and hand them out in batches.

    What was read is kept alive from then on. The next read begins while a batch is handled, where that hides
    a wait for the server: there is more to read, as the last read was full; batches are done quickly, so that
    nothing lies here which another consumer could have done by now; and two of them are not too much for the
    memory.

    Args:
        reader: Sends the reads; nobody else may.
        config: The consumer's settings.
        read_size: How many entries to ask for.
        in_flight: Told of what was read.
        reclaim: Asked for what was delivered in a reply that never arrived.
        stopping: Ends the wait for a batch to be full.
        found: Called when there is something to reclaim.
        ready: Called when a read has ended.
    """

    def __init__(
        self,
        reader: Reader,
        config: ConsumerConfig,
        read_size: ReadSize,
        in_flight: InFlight,
        reclaim: Reclaim,
        stopping: asyncio.Event,
        *,
        found: Callable[[], object],
        ready: Callable[[], object],
    ) -> None:
        self._reader = reader
        self._wait = config.batch_wait_ms / 1000
        self._block_ms = config.block_ms
        self._read_size = read_size
        self._in_flight = in_flight
        self._reclaim = reclaim
        self._stopping = stopping
        self._found = found
        self._ready = ready
        self._wanted = asyncio.Event()
        self._reading: asyncio.Future[list[RawEntry]] | None = None
        self._rest: list[RawEntry] = []
        self._brought = (0, 0)  # records and bytes of the last read
        self.took = QUICK
        """Seconds that handling the last batch took."""

    def begin(self) -> None:
        """Begin to read, where nothing is left of the last read."""
        if self._reading is None and not self._rest:
            self._reading = asyncio.ensure_future(self._read())
            self._reading.add_done_callback(lambda _: self._ready())

    @property
    def is_ready(self) -> bool:
        """Whether a read has ended that was begun, or something is left of one."""
        return bool(self._rest) or (self._reading is not None and self._reading.done())

    @property
    def has_rest(self) -> bool:
        """Whether something is left of the last read."""
        return bool(self._rest)

    def take(self) -> list[RawEntry]:
        """
        Return the next batch, once it is ready; packs differ in size, so a read may have brought several.

        Raises:
            StreamError: As of the reader; the next read finds what may have been delivered.
        """
        if self._reading is not None and not self._rest:
            reading, self._reading = self._reading, None
            self._rest = reading.result()
        whole, most = self._rest, self._read_size.records
        if self._brought[0] <= most and len(whole) <= MAX_ENTRIES:
            self._rest = []
            return whole
        size = first_of(whole, most)
        self._rest = whole[size:]
        return whole[:size]

    def let_go(self) -> None:
        """Leave what is left of the last read pending."""
        self._in_flight.let_go(self._rest)
        self._rest = []

    def read_ahead(self) -> None:
        """Begin to read what comes after the batch that is about to be handled, if that is worth while."""
        records, size = self._brought
        full = 2 * records >= self._read_size.records
        if full and self.took < QUICK and size < LARGE and not self._stopping.is_set():
            self.begin()

    def flush(self) -> None:
        """Have the batch that is being filled handled as it is: nothing more will come."""
        self._wanted.set()

    async def close(self) -> None:
        """Close the connection. What was read and not handed out stays pending."""
        reading, self._reading = self._reading, None
        if reading is not None:
            await self._reader.interrupt()  # not cancelled: that could lose a reply on its way
            await asyncio.wait([reading], timeout=_END)
            reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()  # seen: whatever it is, nothing is read any more
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
        self._brought = self._read_size.learn(batch)
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
                batch += await self._reader.read(more, int(min(left, _LOOK) * 1000))
            except StreamError:  # the next read meets it too, with nothing in flight
                return
