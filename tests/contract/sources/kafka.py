"""Source kafka: the messages of a topic of two partitions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from tests.contract.sources.files import as_json, few
from tests.contract.sources.rig import WRONG, Rig
from tests.support.kafka import KafkaBroker


class Origin(Rig):
    server = "noida-db 0.2.3"
    ends = False
    bad_said = "it is not JSON"
    login_said = "does not support SCRAM-SHA-512"
    missing_said = "there is no topic 'nothing-here'"
    partitions: ClassVar[int] = 2

    @cached_property
    def _broker(self) -> KafkaBroker:
        broker: KafkaBroker = self.place.fixture("kafka")
        broker.make(self.place.name, self.partitions)
        return broker

    @property
    def options(self) -> dict[str, Any]:
        return {"brokers": self._broker.address, "topic": self.place.name, "timeout": "5s"}

    @property
    def login_options(self) -> dict[str, Any]:
        return {**self.options, "sasl": {"user": "etl", "password": "${secret:PASSWORD}"}}

    @property
    def missing_options(self) -> dict[str, Any]:
        return {**self.options, "topic": "nothing-here"}

    def wrong_environ(self) -> dict[str, str]:
        return {"PASSWORD": WRONG}

    def fill(self, numbers: Sequence[int]) -> None:
        for part in range(self.partitions):
            self._broker.send(
                self.place.name, [{"n": n} for n in numbers if n % self.partitions == part], partition=part
            )

    def fill_with_a_bad_one(self) -> None:
        self.bad_id = f"read:{self.place.name}/0:7"  # type: ignore[misc]
        self._broker.send(self.place.name, [one.encode() for one in as_json(few("{broken"))], partition=0)

    def stop(self) -> None:
        self._broker.stop()

    def start(self) -> None:
        self._broker.start()
