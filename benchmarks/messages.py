"""The kafka source and sink, compared with bare loops over aiokafka, 500 messages per batch."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count as numbers
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.measure import Figures, Job, Stopwatch
from benchmarks.single import ROWS, batches, made, timed
from tests.support.kafka import KafkaBroker

TITLE = "Into and out of Kafka by 500 messages"
SIZE = (100, 4)
BESIDE = {"sink kafka": "bare transactions", "source kafka": "bare reads"}
PARTITIONS = 4
FULL = "full"
_number = numbers()


def topic(broker: KafkaBroker) -> str:
    """Make a topic; each round has its own."""
    return broker.make(f"bench-{next(_number)}-{time.time_ns()}", PARTITIONS)


def sink(broker: KafkaBroker, count: int) -> Figures:
    writing = made("sink", "kafka", brokers=broker.address, topic=topic(broker))
    writing.open(None)
    try:
        return timed(list(batches(count)), writing.write)
    finally:
        writing.close()


def bare_transactions(broker: KafkaBroker, count: int) -> Figures:
    """Send the records of each batch in a transaction, without a ledger."""
    return asyncio.run(_send(broker, count, {"transactional_id": "bare"}))


def bare_sends(broker: KafkaBroker, count: int) -> Figures:
    """Send them with no guarantee except that they have arrived."""
    return asyncio.run(_send(broker, count, {}))


async def _send(broker: KafkaBroker, count: int, more: dict[str, Any]) -> Figures:
    name, given = await asyncio.to_thread(topic, broker), list(batches(count))
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, **more)
    await producer.start()
    watch = Stopwatch()
    for batch in given:
        if more:
            await producer.begin_transaction()
        waiting = [
            await producer.send(name, json.dumps(record).encode(), headers=[("rsq-rid", rid.encode())])
            for record, rid in zip(batch.records, batch.rids, strict=True)
        ]
        await asyncio.gather(*waiting)
        if more:
            await producer.commit_transaction()
    figures = watch.figures(ROWS * count)
    await producer.stop()
    return figures


def source(broker: KafkaBroker, total: int) -> Figures:
    reading = made("source", "kafka", brokers=broker.address, topic=FULL, until="end")
    shards, read, watch = reading.shards(), 0, Stopwatch()
    for shard in shards:
        read += sum(len(chunk) for chunk in reading.read(shard, "", ROWS))
    assert read == total, read
    return watch.figures(read)


def bare_reads(broker: KafkaBroker, total: int) -> Figures:
    """Read the same, and decode it with json."""
    return asyncio.run(_read(broker, total))


async def _read(broker: KafkaBroker, total: int) -> Figures:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.address, isolation_level="read_committed")
    await consumer.start()
    parts = [TopicPartition(FULL, part) for part in range(PARTITIONS)]
    consumer.assign(parts)
    await consumer.seek_to_beginning(*parts)
    watch, read = Stopwatch(), 0
    while read < total:
        for messages in (await consumer.getmany(timeout_ms=500, max_records=ROWS)).values():
            read += len([json.loads(message.value) for message in messages])
    figures = watch.figures(read)
    await consumer.stop()
    return figures


@contextmanager
def contenders(count: int) -> Iterator[dict[str, Job]]:
    """Start a broker, and fill a topic."""
    with KafkaBroker() as broker:
        broker.make(FULL, PARTITIONS)
        total = 0
        for part, batch in zip(numbers(), batches(count), strict=False):
            broker.send(FULL, batch.records, partition=part % PARTITIONS)
            total += ROWS
        yield {
            "bare sends": partial(bare_sends, broker, count),
            "bare transactions": partial(bare_transactions, broker, count),
            "sink kafka": partial(sink, broker, count),
            "bare reads": partial(bare_reads, broker, total),
            "source kafka": partial(source, broker, total),
        }
