"""Publisher: a connection that sends messages, and knows what the broker answered to each."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from paho.mqtt import client as paho

from rsq_pipe.connectors.endpoint import AwayError, RefusedError
from rsq_pipe.connectors.mqtt.client import Client
from rsq_pipe.connectors.mqtt.settings import WriteSettings

_LOOK = 0.2
"""Seconds between two looks at whether there still is a connection."""

_AROUND = 16
"""Maximum bytes of a packet beside the topic and the message."""

Message = tuple[str, bytes]
"""The topic, and what is sent to it."""


class Sent(Struct):
    """
    Hold what became of some messages.

    Args:
        answers: Place -> the broker's reason for refusing it, as a code of MQTT 5; None if it has it.
        lost: Why there is no connection any more; empty if every message was answered.
    """

    answers: dict[int, Any] = field(default_factory=dict)
    lost: str = ""


class Publisher:
    """
    Connect once, by MQTT 5 where the broker knows it: by the versions before, it cannot refuse a message.

    Args:
        settings: The sink's settings.
        root: The project root, for the file of the authority.
    """

    def __init__(self, settings: WriteSettings, root: Path) -> None:
        self._settings = settings
        self._root = root
        self._news = threading.Condition()
        self._answers: dict[int, Any] = {}
        self._sent = 0
        self._client: Client | None = None

    def open(self) -> None:
        """
        Connect.

        Raises:
            RefusedError, AwayError: It cannot connect.
        """
        try:
            client = self._connected(paho.MQTTv5)
        except RefusedError:
            if self._client is None or not self._client.is_too_old:
                raise
            client = self._connected(paho.MQTTv311)
        if client.at_once < client.paho.max_inflight_messages:
            self._connected(paho.MQTTv5, at_once=client.at_once)

    def send(self, messages: Sequence[Message]) -> Sent:
        """
        Send messages, and wait for the answers.

        Raises:
            AwayError: The broker does not answer.
        """
        client = self._client
        assert client is not None
        with self._news:
            self._answers, self._sent = {}, 0
        numbers = [self._begin(client, message) for message in messages]
        with self._news:
            self._sent = len(numbers)
            self._wait(client)
            found = {
                at: self._answers[number] for at, number in enumerate(numbers) if number in self._answers
            }
        lost = client.why_away or "the connection is lost"
        return Sent(found, "" if len(found) == len(numbers) else lost)

    @property
    def largest(self) -> int:
        """The most bytes of a packet that the broker takes; 0 if it names no limit."""
        return self._client.largest if self._client is not None else 0

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""
        return self._client is not None and not self._client.why_away

    def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            client.stop()

    def _connected(self, protocol: int, *, at_once: int = 0) -> Client:
        self.close()
        # A connection that is lost is not made again: messages that it had begun would go out once more.
        client = self._client = Client(
            self._settings, self._root, "", protocol=protocol, reconnect_on_failure=False
        )
        if at_once:
            client.paho.max_inflight_messages = at_once
        client.paho.on_publish = self._answered
        client.start(patient=False)  # the caller tries again, and decides when to stop
        return client

    def _begin(self, client: Client, message: Message) -> int:
        topic, payload = message
        return client.paho.publish(topic, payload, self._settings.qos, self._settings.retain).mid

    def _wait(self, client: Client) -> None:
        count, deadline = -1, 0.0
        while len(self._answers) < self._sent and not client.why_away:
            if len(self._answers) > count:
                count, deadline = len(self._answers), time.monotonic() + self._settings.timeout
            elif time.monotonic() > deadline:
                raise AwayError("it has not acknowledged all messages in time")
            self._news.wait(_LOOK)

    def _answered(self, _: Any, __: Any, number: int, reason: Any, ___: Any) -> None:
        with self._news:
            self._answers[number] = reason if reason.is_failure else None
            if len(self._answers) == self._sent:
                self._news.notify()


def packet_size(message: Message) -> int:
    """Return how many bytes the packet of a message has at most."""
    return len(message[0].encode()) + len(message[1]) + _AROUND
