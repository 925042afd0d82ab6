"""Sink kafka: a topic."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.sinks.rig import WRONG, Record, Rig
from tests.support.kafka import KafkaBroker


class Target(Rig):
    server = "noida-db 0.2.3"
    bad: ClassVar[Record] = {"n": 7, "pad": "x" * 5_000}
    bad_said = "does not take the record: MessageSizeTooLargeError"
    login_said = "does not support SCRAM-SHA-512 sasl mechanism. Enabled mechanisms are: ['PLAIN']"
    missing_said = "there is no such topic; make it, or correct `topic`"

    @property
    def _broker(self) -> KafkaBroker:
        broker: KafkaBroker = self.place.fixture("kafka")
        return broker

    def make(self) -> None:
        self._broker.make(self.place.name, 3, max_message_bytes="4000")

    @property
    def options(self) -> dict[str, Any]:
        topics = {"topic": self.place.name, "ledger": f"{self.place.name}-ledger"}
        # A transaction may take five seconds more, and is to be given up within an outage of ten.
        return {"brokers": self._broker.address, **topics, "timeout": "3s"}

    @property
    def login_options(self) -> dict[str, Any]:
        # The broker takes any password of the mechanism that it knows.
        return {**self.options, "sasl": {"user": "rsq", "password": "${secret:PASSWORD}"}}

    @property
    def wrong_environ(self) -> dict[str, str]:
        return {"PASSWORD": WRONG}

    @property
    def missing_options(self) -> dict[str, Any]:
        return {**self.options, "topic": f"{self.place.name}-2"}

    def found(self) -> list[int]:
        return [one["n"] for one in self._broker.values(self.place.name)]

    def stop(self) -> None:
        # It stands still: stopped in a transaction, this broker was once seen to lack the one before it.
        self._broker.pause()

    def start(self) -> None:
        self._broker.resume()
