"""KafkaBroker: a private Kafka broker for tests, noida-db's, which may be killed and paused."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from tests.support.ports import free_port
from tests.support.private_server import PrivateServer
from tests.support.signals import eventually

_START = 20.0


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaBroker]:
    """One broker for the whole run; tests keep apart by the names of their topics."""
    with KafkaBroker() as running:
        yield running


@pytest.fixture
def own_kafka() -> Iterator[KafkaBroker]:
    """A broker for one test that kills or pauses it."""
    with KafkaBroker() as running:
        yield running


class KafkaBroker(PrivateServer):
    """Run one broker on a port of 127.0.0.1; it keeps its data across stops."""

    what = "Kafka"

    def __init__(self) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="rsq-kafka-", dir="/tmp")))
        self.port = free_port()

    def __getstate__(self) -> dict[str, Any]:
        """Tell another process where it is; the child process stays ours."""
        return {**vars(self), "_process": None}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start it and wait until it answers."""
        binary = Path(str(files("noida_db"))) / "noida-db"
        if not os.access(binary, os.X_OK):  # as its own command does
            binary.chmod(0o755)
        self._begin(
            [
                *(binary, "start", "--only", "kafka", "--kafka-port", str(self.port)),
                *("--data-dir", self.folder / "data"),
            ]
        )
        eventually(self._answers, timeout=_START, what=f"Kafka answers on port {self.port}")
        return self

    def make(self, topic: str, partitions: int = 1, **settings: str) -> str:
        """Make a topic, and return its name."""

        async def work(admin: Any) -> None:
            configs = {name.replace("_", "."): value for name, value in settings.items()}
            answer = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])
            assert [code for _, code, *_ in answer.topic_errors] == [0], answer

        self._administer(work)
        return topic

    def widen(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""
        self._administer(lambda admin: admin.create_partitions({topic: NewPartitions(partitions)}))

    def delete(self, topic: str) -> None:
        self._administer(lambda admin: admin.delete_topics([topic]))

    def cut(self, topic: str, before: int, partition: int = 0) -> None:
        """Delete the messages before an offset, as retention does."""
        from aiokafka.admin import RecordsToDelete

        doomed = {TopicPartition(topic, partition): RecordsToDelete(before_offset=before)}
        self._administer(lambda admin: admin.delete_records(doomed))

    def send(
        self,
        topic: str,
        values: Sequence[Any],
        *,
        partition: int | None = None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        transaction: str = "",
        abort: bool = False,
    ) -> None:
        """Send values: bytes and None as they are, everything else as JSON."""

        async def work() -> None:
            more = {"transactional_id": transaction} if transaction else {}
            producer = AIOKafkaProducer(bootstrap_servers=self.address, **more)
            await producer.start()
            try:
                if transaction:
                    await producer.begin_transaction()
                waiting = [
                    await producer.send(
                        topic,
                        value if value is None or isinstance(value, bytes) else json.dumps(value).encode(),
                        partition=partition,
                        key=key,
                        headers=list(headers),
                    )
                    for value in values
                ]
                await asyncio.gather(*waiting)
                if transaction:
                    await (producer.abort_transaction() if abort else producer.commit_transaction())
            finally:
                await producer.stop()

        asyncio.run(work())

    def leave_open(self, topic: str, values: Sequence[Any], *, transaction: str) -> None:
        """Send values in a transaction that nobody ends, as one that is killed leaves it."""

        async def work() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=self.address, transactional_id=transaction)
            await producer.start()
            await producer.begin_transaction()
            for value in values:
                await (await producer.send(topic, json.dumps(value).encode(), partition=0))
            # Without its tasks, it closes its connections and says no farewell to the transaction.
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await producer.stop()

        asyncio.run(work())

    def messages(self, topic: str) -> list[Any]:
        """Read everything that a reader of committed messages sees, partition by partition."""
        return asyncio.run(self._messages(topic))

    def values(self, topic: str) -> list[Any]:
        """The same, decoded."""
        return [json.loads(one.value) for one in self.messages(topic)]

    def _answers(self) -> bool:
        self._check()
        import socket

        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _administer(self, work: Any) -> None:
        async def run() -> None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
            await admin.start()
            try:
                await work(admin)
            finally:
                await admin.close()

        asyncio.run(run())

    async def _messages(self, topic: str) -> list[Any]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.address,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        found: list[Any] = []
        try:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
            await admin.start()
            (described,) = await admin.describe_topics([topic])
            await admin.close()
            for part in sorted(one["partition"] for one in described["partitions"]):
                partition = TopicPartition(topic, part)
                consumer.assign([partition])
                end = (await consumer.end_offsets([partition]))[partition]
                await consumer.seek_to_beginning(partition)
                while await consumer.position(partition) < end:
                    for some in (await consumer.getmany(partition, timeout_ms=200)).values():
                        found += some
        finally:
            await consumer.stop()
        return found
