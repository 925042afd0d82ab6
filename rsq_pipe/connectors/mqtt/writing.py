"""MqttSink: sends a message for each record, and waits until the broker has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from rsq_pipe.connectors.computed import computed
from rsq_pipe.connectors.endpoint import AwayError, RefusedError
from rsq_pipe.connectors.mqtt.publisher import Message, Publisher, packet_size
from rsq_pipe.connectors.mqtt.settings import WriteSettings
from rsq_pipe.connectors.record_id import named
from rsq_pipe.connectors.sink import TargetUnavailableError, Written
from rsq_pipe.error_text import full_text
from rsq_pipe.errors import EncodeError, RsqPipeError, SinkError, without_frames
from rsq_pipe.model.batch import Batch
from rsq_pipe.streams.serializers import JsonSerializer

_TOPIC_BYTES = 65_535

_NOT_ALLOWED = 0x87

_OF_THE_MESSAGE = frozenset((_NOT_ALLOWED, 0x90, 0x95, 0x99))
"""The codes of MQTT 5 by which a broker refuses a message, and will again; after others it may take it."""

_BREAKS = 3
"""A message has failed if the connection was lost so often while it was the next to be acknowledged."""


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
        self._form = JsonSerializer()
        self._publisher = Publisher(settings, root)
        self.target = f"mqtt broker {settings.broker}"

    def open(
        self,
        position: str | None,  # noqa: ARG002  nothing can be undone
        *,
        fresh: bool = False,  # noqa: ARG002
        still: Callable[[], bool] = lambda: True,  # noqa: ARG002
    ) -> str:
        """Connect."""
        try:
            self._publisher.open()
        except RefusedError as exc:
            self.close()
            raise self._error(str(exc)) from exc
        except AwayError as exc:
            self.close()
            raise TargetUnavailableError(f"{self.target}: {exc}") from exc
        return ""

    def write(self, batch: Batch) -> Written:
        """Send one batch."""
        messages, failures = self._messages(batch)
        waiting = dict(messages)
        breaks = 0
        while waiting:
            if not self._publisher.is_up:
                self.open(None)
            # If none gets through, the first of them may be what breaks the connection.
            places = [*waiting][: 1 if breaks else None]
            try:
                sent = self._publisher.send([waiting[place] for place in places])
            except (AwayError, ValueError) as exc:  # ValueError: raised by paho
                # Messages that this connection is still sending would go out in addition to those sent again.
                self.close()
                raise TargetUnavailableError(f"{self.target}: {exc}") from exc
            for at, reason in sent.answers.items():
                message = waiting.pop(places[at])
                if reason is not None:
                    failures[places[at]] = self._refusal(message, reason)
            breaks = 0 if sent.answers else breaks + 1
            if breaks == _BREAKS:
                message = waiting.pop(places[0])
                failures[places[0]] = EncodeError(
                    f"the broker ends the connection when it gets its message to {message[0]!r}, of "
                    f"{len(message[1]):,} bytes ({sent.lost}); it may be larger than the broker allows"
                )
                breaks = 0
        return Written(failures=failures)

    def close(self) -> None:
        """Disconnect."""
        self._publisher.close()

    def _messages(self, batch: Batch) -> tuple[Mapping[int, Message], dict[int, Exception]]:
        """Make the messages; also return the records of which none can be made: place -> why."""
        messages: dict[int, Message] = {}
        failures: dict[int, Exception] = {}
        for place in range(len(batch)):
            try:
                messages[place] = self._message(batch, place)
            except RsqPipeError as exc:
                failures[place] = without_frames(exc)
            except Exception as exc:  # noqa: BLE001  not every text has bytes: half a surrogate pair
                failures[place] = without_frames(EncodeError(full_text(exc)))
        return messages, failures

    def _message(self, batch: Batch, place: int) -> Message:
        settings, record = self._settings, batch.records[place]
        payload = self._form.encode(named(record, batch.rids[place]) if settings.rid else record)
        topic = settings.topic
        if settings.topic_by is not None:
            topic = computed("topic_by", settings.topic_by, record)
            wrong = not isinstance(topic, str) or not topic or {"+", "#", "\0"} & {*topic}
            if wrong or len(topic.encode()) > _TOPIC_BYTES:
                raise EncodeError(f"its topic would be {topic!r}, which is none", record)
        assert topic is not None
        largest, size = self._publisher.largest, packet_size((topic, payload))
        if largest and size > largest:
            raise EncodeError(
                f"its message has {size:,} bytes; the broker takes packets of {largest:,} bytes at most"
            )
        return topic, payload

    def _refusal(self, message: Message, reason: Any) -> Exception:
        """
        Return the failure of one message that the broker refuses.

        Raises:
            SinkError: It refuses each of them.
            TargetUnavailableError: It may accept the message later.
        """
        topic = message[0]
        if reason.value not in _OF_THE_MESSAGE:
            self.close()
            raise TargetUnavailableError(f"{self.target}: it refuses a message to {topic!r}: {reason}")
        if reason.value == _NOT_ALLOWED and self._settings.topic is not None:
            what = f"it refuses messages to {topic!r}: {reason}; correct `topic`, or the user's rights"
            raise self._error(what)
        return EncodeError(f"the broker refuses its message to {topic!r}: {reason}")

    def _error(self, what: str) -> SinkError:
        return SinkError(f"stage {self._stage!r}: {self.target}: {what}", stage=self._stage)
