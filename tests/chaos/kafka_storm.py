"""KafkaStorm: a storm over a pipeline from one topic of Kafka to another."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

from tests.chaos.storm import Storm
from tests.support.kafka import KafkaBroker
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually

PARTITIONS = 4

TOP = "reclaim: {idle: 500ms}\nmax_backlog: 1000"
DEFAULTS = "defaults: {batch: {size: 20}}"


class KafkaStorm(Storm):
    """
    Run the pipeline in several processes, which share the partitions, and strike them.

    Args:
        root, server, seed, count, processes, sabotage: As of a Storm.
        broker: Of both topics.
    """

    def __init__(
        self, root: Path, server: StreamServer, broker: KafkaBroker, *, seed: int, **more: Any
    ) -> None:
        self.broker = broker
        self.topics = f"storm-{seed}-{root.name}-in", f"storm-{seed}-{root.name}-out"
        super().__init__(root, server, seed=seed, **more)

    def _write_project(self, count: int, *, fuse: bool) -> None:
        for topic in self.topics:
            self.broker.make(topic, PARTITIONS)
        for part in range(PARTITIONS):
            self.broker.send(
                self.topics[0], [{"n": n} for n in range(part, count, PARTITIONS)], partition=part
            )
        brokers = f'brokers: "{self.broker.address}", timeout: 5s'
        self.project.spec(
            f"""
            read: {{source: {{type: kafka, {brokers}, topic: {self.topics[0]}}}}}
            tell: {{map: {{m: n + 1}}}}
            out: {{sink: {{type: kafka, {brokers}, topic: {self.topics[1]}, key: n}}}}
            """,
            top=TOP,
            defaults=DEFAULTS,
        )

    def settle_down(self, timeout: float = 90) -> None:
        """Go on, in a process of its own, until all is written; then end it in good order."""
        self.end()
        (last,) = self._runs = [self._start()]
        count = self._count
        try:
            eventually(lambda: self._written() >= count, timeout=timeout, what="all is written")
        except AssertionError as exc:
            doubled, lost = self.doubled_and_lost()
            exc.add_note(f"{lost} lost or not yet written, {doubled} doubled:\n{self.log()[-6000:]}")
            raise
        last.send_signal(signal.SIGTERM)
        assert last.wait(timeout=PATIENCE) in {0, -signal.SIGTERM}, self.log()[-3000:]

    def doubled_and_lost(self) -> tuple[int, int]:
        """Say how often a record too many stands in the topic, and how many are not there."""
        found = Counter(one["n"] for one in self.broker.values(self.topics[1]))
        assert found.keys() <= set(range(self._count))
        return found.total() - len(found), self._count - len(found)

    def _written(self) -> int:
        with self.redis() as client:
            return int(client.hget(f"{{{self.project.pipeline}}}:meta", "out:in") or 0)

    def _is_done(self) -> bool:
        return self._size() >= 100 * self._count

    def _size(self) -> int:
        try:
            return 100 * self._written()
        except Exception:  # the server is away, as part of the storm
            return 0
