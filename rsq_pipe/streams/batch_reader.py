"""BatchReader: hands out a consumer's new entries in batches, and reads the next while one is handled."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from time import monotonic

from redis.exceptions import ResponseError

from rsq_pipe.errors import ServerUnavailableError, StreamError
from rsq_pipe.streams.channel import Channel
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.entry import Arrived, RawEntry, first_of, read_reply
from rsq_pipe.streams.faults import translate
from rsq_pipe.streams.link import Link
from rsq_pipe.streams.settlement import MAX_ENTRIES

QUICK = 0.1
"""Seconds: while a slower batch is handled nothing is read ahead, as another consumer may be idle."""

LARGE = 4 * 1024 * 1024
"""Bytes: with a batch of this size or more no other is held in memory."""

MAX_BYTES = 16 * 1024 * 1024
"""About how many bytes a read should return, judging by earlier reads."""

NOTHING = Arrived([])
"""The result of a read that found no entries."""

IDLE = 10.0
"""Seconds without a read after which it takes a new connection: by then this one may have been closed."""

_FIRST_ENTRIES = 4
"""Number of entries the first read asks for, while their size is unknown."""

_CLOSE_TIMEOUT = 0.5
"""Seconds that an interrupted read is given to end."""

_CHECK_INTERVAL = 0.2
"""Seconds between two checks whether a batch that is being filled should be handled as it is."""

_UNBLOCK_TIMEOUT = 0.06
"""Seconds in which a blocked read is asked to end; after that its connection is closed."""

_UNBLOCK_INTERVAL = 0.01
"""Seconds between two such attempts, and the maximum for one."""


class BatchReader:
    """
    Read new entries in the background, one read at a time, and return them in batches.

    Entries that were read are held, and kept alive, until they have been handled. The next read begins while
    a batch is being handled if three things are true: there is more to read, as the last read was full;
    batches are handled quickly, so that no entry waits here that another consumer could have handled by now;
    and two batches fit into memory.

    Args:
        reader: Sends the reads; used by nothing else.
        config: The consumer's settings.
        read_size: Determines how many entries to ask for.
        stopping: Ends the wait for a batch to be full.
        find_lost: Reclaims entries delivered in a reply that never arrived, given the last ones that arrived.
        ready: Called when a read has ended.
    """

    def __init__(
        self,
        reader: Reader,
        config: ConsumerConfig,
        read_size: ReadSize,
        stopping: asyncio.Event,
        *,
        find_lost: Callable[[Mapping[str, str]], Awaitable[None]],
        ready: Callable[[], object],
    ) -> None:
        self._reader = reader
        self._wait = config.batch_wait_ms / 1000
        self._block_ms = config.block_ms
        self._read_size = read_size
        self._stopping = stopping
        self._find_lost = find_lost
        self._ready = ready
        self._wanted = asyncio.Event()
        self._reading: asyncio.Future[Arrived] | None = None
        self._arrived: list[RawEntry] = []  # by the read in progress, or not taken yet
        self._rest: list[RawEntry] = []  # of the last read; the next read begins only when this is empty
        self._brought = NOTHING  # result of the last read
        self.handed_out: Sequence[RawEntry] = ()
        """The batch that was taken last, until it has been handled."""
        self.is_ready = False
        """Whether there is something to take: a read has ended, or something is left of the last one."""

    def begin(self) -> None:
        """Begin to read, unless a read is in progress or something is left of the last one."""
        if self._reading is None and not self._rest:
            self._read_size.learn(NOTHING)  # from how quickly the last batch was handled
            self._reading = asyncio.ensure_future(self._read())

    @property
    def has_rest(self) -> bool:
        """Whether something is left of the last read."""
        return bool(self._rest)

    def take(self, *, ahead: bool = False) -> list[RawEntry]:
        """
        Return the next batch, once there is one; packs differ in size, so a read may return several batches.

        Args:
            ahead: Whether to begin the next read, if that pays off.

        Raises:
            StreamError: From the reader; the next read finds entries that may have been delivered.
        """
        batch, self._rest, self.is_ready = self._rest, [], False
        brought = NOTHING
        if self._reading is not None:
            reading, self._reading, self._arrived = self._reading, None, []
            brought = self._brought = reading.result()
            batch = brought.entries
        self._read_size.learn(brought)
        (_, records, size), most = self._brought, self._read_size.records
        if records > most or len(batch) > MAX_ENTRIES:
            number = first_of(batch, most)
            batch, self._rest = batch[:number], batch[number:]
        if batch:
            self._read_size.handling_records = min(records, most)
        is_worth_while = 2 * records >= most and size < LARGE and self._read_size.handling_seconds < QUICK
        if self._rest:
            self.is_ready = True
        elif ahead and is_worth_while and not self._stopping.is_set():
            self._reading = asyncio.ensure_future(self._read())
        self.handed_out = batch
        return batch

    def let_go(self) -> None:
        """Leave the rest of the last read pending."""
        if self._rest:
            self._rest, self.is_ready = [], False

    def held(self) -> Iterator[RawEntry]:
        """Yield entries that were read and not handled, including those of a batch that is being filled."""
        return itertools.chain(self._arrived, self._rest, self.handed_out)

    def flush(self) -> None:
        """Hand out the batch that is being filled as it is: no more entries will come."""
        self._wanted.set()

    async def close(self) -> None:
        """Close the connection. Entries that were read and not handed out stay pending."""
        reading, self._reading = self._reading, None
        if reading is not None:
            await self._reader.interrupt()  # not cancelled: that could lose a reply on its way
            await asyncio.wait([reading], timeout=_CLOSE_TIMEOUT)
            reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()  # retrieved: whatever it is, no more is read
        await self._reader.close()

    async def _read(self) -> Arrived:
        try:
            if self._reader.may_have_lost_a_reply:
                await self._find_lost(self._reader.received)
                self._reader.may_have_lost_a_reply = False
            brought = await self._reader.read(self._read_size.entries, self._block_ms)
            self._arrived = brought.entries
            return await self._filled(brought) if brought.entries and self._wait else brought
        finally:  # tasks woken by this run after the return
            self.is_ready = True
            self._ready()

    async def _filled(self, batch: Arrived) -> Arrived:
        """Add arriving entries until the batch is full, or has waited long enough."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._wait
        self._wanted.clear()
        while (more := self._read_size.more(batch)) and not self._stopping.is_set():
            left = deadline - clock()
            if int(left * 1000) <= 0 or self._wanted.is_set():
                break
            try:
                added = await self._reader.read(more, int(min(left, _CHECK_INTERVAL) * 1000))
            except StreamError:  # the next read meets it too, with nothing in flight
                break
            batch.entries.extend(added.entries)  # in place: they are held from now on
            batch = Arrived(batch.entries, batch.records + added.records, batch.size + added.size)
        return batch


class Reader:
    """
    Read new entries of some streams for one consumer.

    Args:
        channel: The server.
        streams: Keys, in the order in which they are read; in a cluster all in one slot.
        group, consumer: The consumer and its group.
    """

    def __init__(self, channel: Channel, streams: Sequence[str], group: str, consumer: str) -> None:
        self._channel = channel
        self._streams = tuple(streams)
        self._of_all = ("STREAMS", *streams, *[">"] * len(streams))
        self._who = (group, consumer)
        self._link: Link | None = None
        self._used_at = 0.0
        self._client_id = 0
        self._blocked = False
        self._interrupted = False
        self.received: dict[str, str] = {}
        """The id of the last entry that arrived, by stream."""
        self.may_have_lost_a_reply = False
        """Whether entries may have been delivered that never arrived: they are pending for this consumer."""

    async def read(self, count: int, block_ms: int) -> Arrived:
        """
        Read up to `count` new entries per stream.

        Args:
            block_ms: Milliseconds to wait for the first one; 0 returns at once.

        Returns:
            The entries that arrived; none once `interrupt` was called.

        Raises:
            GroupLostError: A stream's group is gone.
            ServerUnavailableError: See `may_have_lost_a_reply`.

        Cancellation: closes the connection and may lose the reply; use `interrupt`.
        Redis: XREADGROUP.
        """
        block: list[str | int] = ["BLOCK", block_ms] if block_ms > 0 else []
        command = ["XREADGROUP", "GROUP", *self._who, "COUNT", count, *block, *self._of_all]
        try:
            link = self._link
            if link is None or not link.is_open or monotonic() - self._used_at > IDLE:
                link = await self._open()
            if self._interrupted:
                return NOTHING
            # Before the command is sent: an interruption must see that a read is about to block.
            self._blocked = block_ms > 0
            self.may_have_lost_a_reply = True
            try:
                (reply,) = await link.exchange([command], timeout=self._channel.timeout + block_ms / 1000)
            finally:
                self._blocked = False
                self._used_at = monotonic()
            self.may_have_lost_a_reply = False
            if isinstance(reply, ResponseError):
                raise translate(reply, link.address, link.server) from reply
            arrived = read_reply(reply)
        except ServerUnavailableError:
            if self._interrupted:  # by closing the connection; entries on their way are handed back
                return NOTHING
            await self.close()  # its server may be a replica by now, or no longer serve the slot
            self._channel.moved()
            raise
        for entry in arrived.entries:
            self.received[entry.stream] = entry.id
        return arrived

    async def interrupt(self) -> None:
        """End a blocked read within a tenth of a second, and prevent further ones."""
        self._interrupted = True
        clock = asyncio.get_running_loop().time
        deadline = clock() + _UNBLOCK_TIMEOUT
        while self._blocked and clock() < deadline:
            try:
                # Unlike closing the connection, this cannot lose a reply that is on its way.
                await self._channel.execute(
                    "CLIENT", "UNBLOCK", self._client_id, key=self._streams[0], timeout=_UNBLOCK_INTERVAL
                )
            except StreamError:
                break
            await asyncio.sleep(_UNBLOCK_INTERVAL)
        if self._blocked and self._link is not None:
            await self._link.close()

    async def close(self) -> None:
        """Close the connection."""
        link, self._link = self._link, None
        if link is not None:
            await self._channel.release(link)

    async def _open(self) -> Link:
        await self.close()
        link = await self._channel.link(self._streams[0])
        try:
            await link.open(timeout=self._channel.timeout)
            (reply,) = await link.exchange([["CLIENT", "ID"]], timeout=self._channel.timeout)
        except BaseException:  # such as a cancellation by a stop: only this code knows the connection
            await self._channel.release(link)
            raise
        # Users without the right to CLIENT are stopped by closing the connection instead.
        self._client_id = reply if isinstance(reply, int) else 0
        self._link = link
        return link


class ReadSize:
    """
    Learn from each read how many records and bytes an entry holds, and decide how many to ask for.

    Args:
        records: Maximum records in a batch.
        an_entry: Maximum records in an entry, if known before the first read; 0 if each entry holds one and
            every read is to ask for a whole batch.
        size: Bytes from which a batch counts as full; 0 for no limit.
        quickly: Maximum records in a batch as long as so many are handled quickly.
        suits: Returns how many of so many records suit a slow stage.
    """

    def __init__(
        self,
        records: int,
        an_entry: int = 0,
        size: int = 0,
        quickly: int = 0,
        suits: Callable[[int], int] | None = None,
    ) -> None:
        self.records = self._asked = records
        self._many = quickly
        self._suits = suits
        self._size = size
        self._learns = an_entry > 0
        self._an_entry = float(max(an_entry, 1))
        # A pack is limited in bytes; a single record, from any producer, is not.
        self._bytes = MAX_BYTES / _FIRST_ENTRIES if an_entry == 1 else 0.0
        self.entries = records
        """How many entries to ask for."""
        self.handling_records = 0
        """Records of the batch that was handed out last."""
        self.handling_seconds = QUICK
        """Seconds that it took to handle."""
        self.learn(NOTHING)

    def more(self, batch: Arrived) -> int:
        """Return how many entries to request beyond those of a batch; 0 if it is full."""
        count, records = len(batch.entries), self.records - batch.records
        if records <= 0 or count >= MAX_ENTRIES or (self._size and batch.size >= self._size):
            return 0
        if not self._learns:
            return records
        most = max(1, int(records / max(1.0, batch.records / count)))
        return min(most, self.entries, MAX_ENTRIES - count)

    def learn(self, brought: Arrived) -> None:
        """
        Adjust how much to ask for to the result of a read, and to how long the last batch took.

        Larger entries than before count at once, smaller ones only gradually. If a large batch would be
        handled quickly, batches are large; if even few take long, they are small.
        """
        is_quick = self.handling_seconds * self._many < QUICK * self.handling_records
        if self._many > self._asked and is_quick:
            self.records = self._many
        else:
            self.records = self._asked if self._suits is None else self._suits(self._asked)
        if self._learns:
            if count := len(brought.entries):
                self._an_entry = max(brought.records / count, self._an_entry / 4)
                self._bytes = max(brought.size / count, self._bytes / 4)
            most = self.records / self._an_entry
            if self._bytes:
                most = min(most, MAX_BYTES / self._bytes)
            self.entries = max(1, min(self.records, MAX_ENTRIES, int(most)))
