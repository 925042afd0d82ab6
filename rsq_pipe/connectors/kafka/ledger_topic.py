"""Ledger topic: the rows of a sink's ledger, written in the transactions of its batches."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
from aiokafka import TopicPartition

from rsq_pipe.connectors.kafka.cluster import consumer_of
from rsq_pipe.connectors.kafka.producer import Message
from rsq_pipe.connectors.ledger.ledger import Row

_BACK = 64
"""Number of offsets before the end where the search for the last row begins; ever more if it is not there."""


def message(topic: str, target: str, row: Row) -> Message:
    """Encode a row, compressed since its ids are much alike."""
    return Message(topic, zlib.compress(msgspec.json.encode(row), 1), target.encode(), 0)


async def last_row(given: dict[str, Any], topic: str, target: str, seconds: float) -> Row | None:
    """
    Read the last committed row.

    Call it when earlier writers are fenced: then none of their transactions is open.

    Raises:
        RefusedError, AwayError: See these classes.
    """
    async with consumer_of(given, seconds, isolation_level="read_committed") as consumer:
        return await _last(consumer, TopicPartition(topic, 0), target.encode())


async def _last(consumer: Any, partition: TopicPartition, key: bytes) -> Row | None:
    first = (await consumer.beginning_offsets([partition]))[partition]
    end = (await consumer.end_offsets([partition]))[partition]
    back = _BACK
    consumer.assign([partition])
    while True:
        begin = max(first, end - back)
        consumer.seek(partition, begin)
        found = None
        while await consumer.position(partition) < end:
            for messages in (await consumer.getmany(partition, timeout_ms=100)).values():
                found = next((one.value for one in reversed(messages) if one.key == key), found)
        if found is not None:
            return msgspec.json.decode(zlib.decompress(found), type=Row)
        if begin == first:
            return None
        back *= 8
