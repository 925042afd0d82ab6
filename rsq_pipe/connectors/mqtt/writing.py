"""MqttSink: sends a message for each record, and waits until the broker has them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

from rsq_pipe.connectors.computed import computed
from rsq_pipe.connectors.mqtt.client import AwayError, Client, RefusedError
from rsq_pipe.connectors.mqtt.settings import WriteSettings
from rsq_pipe.connectors.record_id import named
from rsq_pipe.connectors.sink import TargetUnavailableError, Written
from rsq_pipe.error_text import told
from rsq_pipe.errors import EncodeError, RsqPipeError, SinkError, without_frames
from rsq_pipe.model.batch import Batch
from rsq_pipe.streams.serializers import JsonSerializer

_TOPIC_BYTES = 65_535

_LOOK = 0.2
"""Seconds between two looks at whether there still is a connection."""

_GRACE = 2.0
"""Seconds that a lost connection is given to come back: then the batch is sent again by a new one."""


class MqttSink:
    """
    Send records; those that the broker has not confirmed are sent again.

    Args:
        settings: The sink's settings.
        stage: The stage, for messages.
        root: The project root, for the file of the authority.
    """

    guarantee: ClassVar[Literal["exactly-once", "at-least-once"]] = "at-least-once"
    exclusive: ClassVar[bool] = False

    def __init__(self, settings: WriteSettings, *, stage: str, root: Path) -> None:
        self._settings = settings
        self._stage = stage
        self._root = root
        self._form = JsonSerializer()
        self._client: Client | None = None
        self.target = f"mqtt broker {settings.broker}"

    def open(
        self,
        position: str | None,  # noqa: ARG002  nothing can be undone
        *,
        fresh: bool = False,  # noqa: ARG002
        still: Callable[[], bool] = lambda: True,  # noqa: ARG002
    ) -> str:
        """Connect."""
        self.close()
        try:
            client = Client(self._settings, self._root, "")
            self._client = client
            client.start(patient=False)  # the caller tries again, and decides when to stop
        except RefusedError as exc:
            self.close()
            raise self._error(str(exc)) from exc
        except AwayError as exc:
            self.close()
            raise TargetUnavailableError(f"{self.target}: {exc}") from exc
        return ""

    def write(self, batch: Batch) -> Written:
        """Send one batch."""
        if self._client is None:
            self.open(None)
        assert self._client is not None
        deadline = time.monotonic() + self._settings.timeout
        failures: dict[int, Exception] = {}
        waiting: list[Any] = []
        try:
            self._client.wait(time.monotonic() + _GRACE)
            for place in range(len(batch)):
                try:
                    topic, payload = self._message(batch, place)
                except RsqPipeError as exc:
                    failures[place] = without_frames(exc)
                except Exception as exc:  # noqa: BLE001  not every text has bytes: half a surrogate pair
                    failures[place] = without_frames(EncodeError(told(exc)))
                else:
                    send = self._client.paho.publish
                    waiting.append(send(topic, payload, self._settings.qos, self._settings.retain))
            for one in waiting:
                self._wait_for(self._client, one, deadline)
        except RefusedError as exc:
            raise self._error(str(exc)) from exc
        except (AwayError, ValueError, RuntimeError) as exc:  # raised by paho if the connection is lost
            # Messages that this connection is still sending would go out in addition to those sent again.
            self.close()
            raise TargetUnavailableError(f"{self.target}: {exc}") from exc
        return Written(failures=failures)

    def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            client.stop()

    def _wait_for(self, client: Client, sent: Any, deadline: float) -> None:
        """Wait until the broker has a message; AwayError if it does not answer."""
        while True:
            sent.wait_for_publish(_LOOK)
            if sent.is_published():
                return
            if time.monotonic() > deadline:
                raise AwayError("it has not acknowledged all messages in time")
            client.wait(time.monotonic() + _GRACE)

    def _message(self, batch: Batch, place: int) -> tuple[str, bytes]:
        settings, record = self._settings, batch.records[place]
        payload = self._form.encode(named(record, batch.rids[place]) if settings.rid else record)
        topic = settings.topic
        if settings.topic_by is not None:
            topic = computed("topic_by", settings.topic_by, record)
            wrong = not isinstance(topic, str) or not topic or {"+", "#", "\0"} & {*topic}
            if wrong or len(topic.encode()) > _TOPIC_BYTES:
                raise EncodeError(f"its topic would be {topic!r}, which is none", record)
        assert topic is not None
        return topic, payload

    def _error(self, what: str) -> SinkError:
        return SinkError(f"stage {self._stage!r}: {self.target}: {what}", stage=self._stage)
