"""Readings of a partition take nothing from one another, and say what they wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from rsq_pipe.connectors.kafka import feed, quiet
from rsq_pipe.connectors.kafka.reading import KafkaSource
from rsq_pipe.connectors.kafka.settings import ReadOptions
from rsq_pipe.connectors.outage import report_outages_to
from rsq_pipe.connectors.source import Chunk
from tests.support.kafka import KafkaBroker
from tests.support.signals import eventually


class Reading:
    """Read a shard in a thread of its own, a chunk at a time, as the engine does."""

    def __init__(self, source: KafkaSource, shard: str, position: str) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._chunks = source.read(shard, position, 100)
        self.away: list[str] = []
        self._thread.submit(report_outages_to, self.away.append)

    def next(self) -> Future[Chunk | None]:
        return self._thread.submit(next, self._chunks, None)

    def end(self) -> None:
        self._thread.submit(self._chunks.close).result(timeout=20)  # type: ignore[attr-defined]
        self._thread.shutdown()


def begun(source: KafkaSource, shard: str, position: str = "") -> Reading:
    """Begin a reading: its first chunk says where."""
    reading = Reading(source, shard, position)
    assert reading.next().result(timeout=20) is not None
    return reading


@pytest.fixture
def source(kafka: KafkaBroker, name: str, tmp_path: Path) -> Iterator[KafkaSource]:
    kafka.make(name)
    options = ReadOptions.model_validate({"brokers": [kafka.address], "topic": name})
    source = KafkaSource(options, stage="read", root=tmp_path)
    yield source
    source.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released whenever a reading begins to wait for messages."""
    asked, getmany = threading.Semaphore(0), AIOKafkaConsumer.getmany

    async def noted(consumer: AIOKafkaConsumer, *partitions: Any, **more: Any) -> Any:
        asked.release()
        return await getmany(consumer, *partitions, **more)

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", noted)
    return asked


@pytest.mark.parametrize("waits", [False, True], ids=["asks_later", "waits_beside_it"])
def test_a_reading_that_was_let_go_of_takes_no_messages_from_its_successor(
    source: KafkaSource, kafka: KafkaBroker, name: str, asked: threading.Semaphore, *, waits: bool
) -> None:
    shard, found = f"{name}/0", list[int]()
    for first in range(0, 25, 5):
        former = begun(source, shard, str(first))
        waiting = former.next()
        assert asked.acquire(timeout=20)
        later = begun(source, shard, str(first))
        coming = later.next() if waits else None

        kafka.send(name, [{"n": n} for n in range(first, first + 5)])
        assert waiting.result(timeout=20) is None
        chunk = (coming or later.next()).result(timeout=20)
        former.end()
        later.end()
        assert chunk is not None
        found += [record["n"] for record in chunk.records]
        while asked.acquire(blocking=False):
            pass

    assert found == list(range(25))


def test_a_reading_that_ends_late_does_not_interrupt_its_successor(
    source: KafkaSource, kafka: KafkaBroker, name: str
) -> None:
    shard = f"{name}/0"
    former = begun(source, shard)
    later = begun(source, shard, "0")

    former.end()
    kafka.send(name, [{"n": 0}])
    chunk = later.next().result(timeout=20)
    later.end()

    assert chunk is not None
    assert (later.away, [record["n"] for record in chunk.records]) == ([], [0])


def test_a_reading_whose_partition_went_to_a_later_one_does_not_say_that_kafka_is_away(
    source: KafkaSource, name: str, asked: threading.Semaphore
) -> None:
    shard = f"{name}/0"
    former = begun(source, shard)
    waiting = former.next()
    assert asked.acquire(timeout=20)
    later = begun(source, shard, "0")

    assert waiting.result(timeout=20) is None
    former.end()
    later.end()

    assert former.away == []


def test_an_end_before_what_was_read_is_asked_for_again_before_messages_count_as_lost(
    source: KafkaSource, kafka: KafkaBroker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.send(name, [{"n": n} for n in range(5)])
    ends, asked = feed.Feed.ends, list[int]()

    def late(self: feed.Feed, partition: Any) -> tuple[int, int]:
        asked.append(1)
        return (0, 2) if len(asked) == 1 else ends(self, partition)

    monkeypatch.setattr(feed.Feed, "ends", late)
    reading = Reading(source, f"{name}/0", "4")

    chunks = [reading.next().result(timeout=20) for _ in range(2)]
    reading.end()

    assert [record["n"] for chunk in chunks if chunk is not None for record in chunk.records] == [4]


def test_a_broker_that_goes_away_is_reported_and_read_on_when_it_is_back(
    own_kafka: KafkaBroker, name: str, tmp_path: Path
) -> None:
    own_kafka.make(name)
    options = ReadOptions.model_validate({"brokers": [own_kafka.address], "topic": name, "timeout": "3s"})
    source = KafkaSource(options, stage="read", root=tmp_path)
    reading = begun(source, f"{name}/0")
    coming = reading.next()

    own_kafka.stop()
    eventually(lambda: reading.away, timeout=20, what="it says that Kafka is away")
    own_kafka.start()
    back = coming.result(timeout=30)
    own_kafka.send(name, [{"n": 0}])
    chunk = reading.next().result(timeout=20)
    reading.end()

    assert f"kafka at {own_kafka.address}: " in reading.away[0]
    assert back is not None
    assert (list(back.records), back.position) == ([], "0")
    assert chunk is not None
    assert [record["n"] for record in chunk.records] == [0]


def test_a_client_that_reads_no_more_without_a_word_is_replaced(
    kafka: KafkaBroker, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[AIOKafkaConsumer] = []
    start = AIOKafkaConsumer.start

    async def noted(consumer: AIOKafkaConsumer) -> None:
        made.append(consumer)
        await start(consumer)

    monkeypatch.setattr(AIOKafkaConsumer, "start", noted)
    monkeypatch.setattr(feed, "_LATE", 0.5)
    kafka.make(name)
    options = ReadOptions.model_validate({"brokers": [kafka.address], "topic": name, "timeout": "1s"})
    source = KafkaSource(options, stage="read", root=tmp_path)
    reading = begun(source, f"{name}/0")
    coming = reading.next()

    task: asyncio.Task[None] = made[0]._fetcher._fetch_task
    task.get_loop().call_soon_threadsafe(task.cancel)
    back = coming.result(timeout=30)
    kafka.send(name, [{"n": 0}])
    chunk = reading.next().result(timeout=20)
    reading.end()

    assert back is not None
    assert len(made) == 2
    assert chunk is not None
    assert [record["n"] for record in chunk.records] == [0]


def test_messages_behind_an_open_transaction_are_said_to_wait_for_it_until_it_ends(
    source: KafkaSource, kafka: KafkaBroker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet, "_HELD", 0.2)
    kafka.send(name, [{"n": 0}])
    kafka.leave_open(name, [{"n": 1}], transaction=f"{name}-t")
    kafka.send(name, [{"n": 2}])
    reading = begun(source, f"{name}/0")
    first = reading.next().result(timeout=20)
    coming = reading.next()

    eventually(lambda: reading.away, timeout=20, what="it says what it waits for")
    kafka.send(name, [{"n": 3}], transaction=f"{name}-t")  # this ends what was begun under its name
    chunk = coming.result(timeout=20)
    reading.end()

    assert first is not None
    assert chunk is not None
    assert [record["n"] for record in first.records] == [0]
    assert [record["n"] for record in chunk.records] in ([2], [2, 3])
    assert (
        "a transaction that began at offset 1 is still open, and holds back the 2 messages" in reading.away[0]
    )
