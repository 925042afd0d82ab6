"""Feed: one consumer for all partitions this process reads, without a group: positions are stored here."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from msgspec import Struct

from rsq_pipe.connectors.endpoint import AwayError
from rsq_pipe.connectors.kafka.background import Background, last_trouble
from rsq_pipe.connectors.kafka.cluster import FAULTS, connection, sorted_out
from rsq_pipe.connectors.kafka.quiet import Quiet
from rsq_pipe.connectors.kafka.settings import ReadOptions

T = TypeVar("T")

_NOT_ANY_MORE = "the partition is not read any more"

WAIT = 0.5
"""Seconds that one poll for messages takes if there are none."""

_LATE = 5.0
"""Seconds, in addition to the time for a broker's answer, after which the connections are replaced."""

_FAREWELL = 5.0
"""Seconds that closing the connections may take."""


class Taken(Struct, frozen=True):
    """Hold the next messages, the offset to continue at, and what they wait for if there are none."""

    messages: list[Any]
    after: int
    waits_for: str = ""


class Feed:
    """
    Read partitions, each from a given offset.

    Args:
        options: The source's settings.
        root: The folder of the certificates' files.
    """

    def __init__(self, options: ReadOptions, root: Path) -> None:
        self._options = options
        self._root = root
        self._lock = threading.Lock()
        self._background: Background | None = None
        self._consumer: Any = None
        self._starting = asyncio.Lock()
        self._next: dict[TopicPartition, int] = {}
        self._readers: dict[TopicPartition, object] = {}
        self._quiet: dict[TopicPartition, Quiet] = {}
        self._users = 0

    def enter(self) -> None:
        """Register that one more partition is about to be read."""
        with self._lock:
            self._users += 1
            if self._background is None:
                self._background, self._starting = Background(), asyncio.Lock()

    def leave(self, partition: TopicPartition, reader: object) -> None:
        """Stop reading a partition; the last one to leave closes the connections."""
        with self._lock:
            self._users -= 1
            background = self._background
            if background is None:
                return
            background.run(self._drop(partition, reader))
            if not self._users:
                background.run(self._close())
                background.close()
                self._background = None

    def ends(self, partition: TopicPartition) -> tuple[int, int]:
        """Return the offset of the oldest message, and the one after the newest that may be read."""
        return self._run(self._ends(partition))

    def begin(self, partition: TopicPartition, offset: int, reader: object) -> None:
        """Read a partition from an offset; its previous reader gets no more messages."""
        self._run(self._begin(partition, offset, reader))

    def take(self, partition: TopicPartition, size: int, reader: object) -> Taken:
        """
        Return the next messages, or none after a short wait.

        Args:
            partition: The partition.
            size: Maximum number of messages.
            reader: The reader that began to read it.

        Raises:
            OffsetOutOfRangeError: There is no message at that offset any more, or not yet.
            RefusedError, AwayError: See these classes; AwayError also if another one reads it by now.
        """
        return self._run(self._take(partition, size, reader))

    def held_back(self, partition: TopicPartition) -> int:
        """Return how many messages an open transaction held back when messages last came, 0 if none came."""
        return self._run(self._held_back(partition))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._background is not None, "the feed was not entered"
        return self._background.run(_sorted(work))

    async def _ready(self) -> Any:
        async with self._starting:
            if self._consumer is None:
                consumer = AIOKafkaConsumer(
                    **connection(self._options, self._root),
                    enable_auto_commit=False,
                    auto_offset_reset="none",
                    isolation_level="read_committed" if self._options.committed else "read_uncommitted",
                    fetch_max_wait_ms=round(WAIT * 1000),
                )
                try:
                    await consumer.start()
                except FAULTS as exc:
                    why = sorted_out(exc)
                    await _stopped(consumer)
                    raise why from exc
                self._consumer = consumer
        return self._consumer

    async def _ends(self, partition: TopicPartition) -> tuple[int, int]:
        consumer = await self._ready()
        first = await consumer.beginning_offsets([partition])
        behind = await consumer.end_offsets([partition])
        return first[partition], behind[partition]

    async def _begin(self, partition: TopicPartition, offset: int, reader: object) -> None:
        await self._ready()
        self._next[partition], self._readers[partition] = offset, reader
        self._quiet[partition] = Quiet(self._options.timeout + _LATE)
        self._assign()

    async def _drop(self, partition: TopicPartition, reader: object) -> None:
        if self._readers.get(partition) is not reader:
            return  # it left late, and its successor reads the partition
        del self._next[partition], self._readers[partition], self._quiet[partition]
        if self._consumer is not None:
            self._assign()

    def _assign(self) -> None:
        """Assign to the consumer the partitions it should read; it loses its places in the others by that."""
        if not self._next:
            self._consumer.unsubscribe()
            return
        self._consumer.assign([*self._next])
        for partition, offset in self._next.items():
            self._consumer.seek(partition, offset)

    async def _take(self, partition: TopicPartition, size: int, reader: object) -> Taken:
        if self._readers.get(partition) is not reader:
            raise AwayError(_NOT_ANY_MORE)
        consumer, begin = self._consumer, self._next[partition]
        if consumer is None:
            raise AwayError("the connections are made anew")
        found = await consumer.getmany(partition, timeout_ms=round(WAIT * 1000), max_records=size)
        # If another partition was added during that, this one's place was set back to the last known one.
        messages = [one for one in found.get(partition, ()) if one.offset >= begin]
        if self._readers.get(partition) is not reader:
            if found and consumer is self._consumer and partition in self._next:
                # Its successor began while it waited, and messages that have gone out do not come again.
                consumer.seek(partition, self._next[partition])
            raise AwayError(_NOT_ANY_MORE)
        if messages:
            after = self._next[partition] = messages[-1].offset + 1
            return Taken(messages, after)
        if consumer is not self._consumer or partition not in consumer.assignment():
            return Taken([], begin)
        # What is not a message, such as the end of a transaction, is skipped.
        after = self._next[partition] = max(begin, await consumer.position(partition))
        return Taken([], after, await self._waits_for(consumer, partition, after))

    async def _waits_for(self, consumer: Any, partition: TopicPartition, position: int) -> str:
        """Return which transaction messages wait for; AwayError if no broker answers."""
        quiet = self._quiet[partition]
        quiet.answered(consumer.last_poll_timestamp(partition))
        if why := quiet.why_away(last_trouble()):
            if all(one.is_lost for one in self._quiet.values()):
                # The client reconnects by itself, but the task that does may have ended by an error.
                self._consumer = None
                await _stopped(consumer)
            raise AwayError(why)
        stable, end = consumer.last_stable_offset(partition), consumer.highwater(partition)
        return quiet.why_held(position, stable, end)

    async def _held_back(self, partition: TopicPartition) -> int:
        if self._consumer is None or partition not in self._consumer.assignment():
            return 0
        stable, end = self._consumer.last_stable_offset(partition), self._consumer.highwater(partition)
        return max(0, end - stable) if stable is not None and end is not None and stable >= 0 else 0

    async def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._next.clear()
        self._readers.clear()
        self._quiet.clear()
        if consumer is not None:
            await _stopped(consumer)


async def _stopped(consumer: Any) -> None:
    """Close the connections of a consumer, or give that up: it may wait for its own tasks without end."""
    with contextlib.suppress(*FAULTS):
        async with asyncio.timeout(_FAREWELL):
            await consumer.stop()


async def _sorted(work: Coroutine[Any, Any, T]) -> T:
    """Do some work and translate its errors, here where the client has logged more about them."""
    try:
        return await work
    except OffsetOutOfRangeError:
        raise
    except FAULTS as exc:
        raise sorted_out(exc) from exc
