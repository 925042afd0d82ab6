"""Readings of one partition that overlap: the former takes nothing from the one that follows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from rsq_pipe.connectors.away import told_to
from rsq_pipe.connectors.kafka.reading import KafkaSource
from rsq_pipe.connectors.kafka.settings import ReadOptions
from rsq_pipe.connectors.source import Chunk
from tests.support.kafka import KafkaBroker, kafka

__all__ = ["kafka"]


class Reading:
    """Read a shard in a thread of its own, a chunk at a time, as the engine does."""

    def __init__(self, source: KafkaSource, shard: str, position: str) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._chunks = source.read(shard, position, 100)
        self.away: list[str] = []
        self._thread.submit(told_to, self.away.append)

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
