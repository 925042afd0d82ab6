"""MqttSource: yields messages as they come, and acknowledges each once it is stored."""

from __future__ import annotations

import contextlib
import queue
import secrets
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog

from rsq_pipe.connectors.closing import WaitingSource
from rsq_pipe.connectors.endpoint import AwayError, RefusedError
from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.mqtt.client import Client, broker_backoff
from rsq_pipe.connectors.mqtt.settings import ReadSettings
from rsq_pipe.connectors.source import PREVIEW, Arrival, Chunk
from rsq_pipe.connectors.wording import wording
from rsq_pipe.errors import SourceError

_WAIT = 0.2  # seconds between two checks whether to end

_AHEAD = 10_000
"""Maximum number of waiting messages; more of QoS 0 are dropped, more of QoS 1 stay at the broker."""


class MqttSource(WaitingSource):
    """
    Read through a session at the broker, in one process at a time.

    The broker keeps each message until it is acknowledged, which happens once it is stored. If the process
    dies before that, or the connection is lost, the broker sends it again.

    Args:
        settings: The source's settings.
        stage: The stage, for messages and names.
        root: The project root, for the file of the authority.
        pipeline: The pipeline, for names.
    """

    resumable = True

    def __init__(self, settings: ReadSettings, *, stage: str, root: Path, pipeline: str) -> None:
        super().__init__()
        self._settings = settings
        self._stage = stage
        self._root = root
        self._name = settings.client_id or f"rsq-pipe.{pipeline}.{stage}"
        # A settlement whose position is already stored counts as done before. After the same position, a
        # paused process and its successor have different messages: each needs positions of its own.
        self._by = secrets.token_hex(4)
        self._messages: queue.Queue[tuple[int, Any]] = queue.Queue(_AHEAD)
        self._connection = 0
        self._dropped = 0
        self._client: Client | None = None
        self._former: list[str] = []  # filters of an earlier run that the session still has
        self._refused = ""
        self._backoff = broker_backoff(settings.broker, stage=stage)

    def preview(self) -> MqttSource:
        """Return a copy of the source for someone waiting for the first messages: it gives up soon."""
        soon = {"timeout": min(self._settings.timeout, PREVIEW), "client_id": self._name}
        settings = self._settings.model_copy(update=soon)
        return MqttSource(settings, stage=self._stage, root=self._root, pipeline="")

    def shards(self) -> Sequence[str]:
        """Name the only shard; its position counts what was stored together, and names the filters."""
        return ["messages"]

    def _read(self, position: str, size: int, closing: threading.Event) -> Iterator[Chunk]:
        """Yield messages; SourceError if the broker does not answer at the beginning, or refuses."""
        if closing.is_set():
            return
        number, subscribed = parsed(position)
        self._former = [topic for topic in subscribed if topic not in self._settings.topic]
        client = self._client = Client(self._settings, self._root, self._name, self._begin, manual_ack=True)
        client.paho.on_message = self._arrived
        client.paho.on_subscribe = self._subscribed
        client.paho.on_unsubscribe = self._unsubscribed
        try:
            client.start()
            while not closing.is_set():
                taken = self._take(size)
                self._check_refused()
                client.check_refused()
                is_back, filters = self._is_back(client), [*self._settings.topic, *self._former]
                if not taken and (is_back or filters != subscribed):
                    yield Chunk.of([], self._position(number, filters))  # it answers
                    subscribed = filters
                if not taken:
                    continue
                number, subscribed = number + 1, filters
                arrivals = [self._arrival(f"{number}:{at}", one) for at, (_, one) in enumerate(taken)]
                chunk = Chunk.of(arrivals, self._position(number, filters))
                chunk.settled = partial(self._settled, client, taken)
                yield chunk
        except RefusedError as exc:
            raise self._error(str(exc)) from exc
        except AwayError as exc:
            raise self._error(
                f"it cannot be reached: {exc}; check `broker` and `tls`, and that it runs"
            ) from exc
        finally:
            client.stop()

    def _position(self, number: int, filters: Sequence[str]) -> str:
        return f"{number}.{self._by} {msgspec.json.encode(filters).decode()}"

    def _take(self, size: int) -> list[tuple[int, Any]]:
        found: list[tuple[int, Any]] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._messages.get(timeout=_WAIT))
            while len(found) < size:
                found.append(self._messages.get_nowait())
        # Messages that came through a lost connection come again through this one.
        return [one for one in found if one[0] == self._connection or one[1].qos == 0]

    def _is_back(self, client: Client) -> bool:
        """Report while the broker is unreachable; return whether it has been until now."""
        if why := client.why_away:
            self._backoff.fails(why)  # the client connects again by itself
            return False
        return self._backoff.works()

    def _check_refused(self) -> None:
        if self._refused:
            raise RefusedError(self._refused)

    def _begin(self, *, goes_on: bool) -> None:
        """Subscribe, unless the broker continues the session: it would send retained messages again."""
        self._connection += 1
        assert self._client is not None
        if self._connection == 1 or not goes_on:
            filters: list[tuple[str, int]] = [(topic, self._settings.qos) for topic in self._settings.topic]
            self._client.paho.subscribe(filters)
        if self._former:
            self._client.paho.unsubscribe(self._former)

    def _unsubscribed(self, *_: Any) -> None:
        self._former = []

    def _subscribed(self, _: Any, __: Any, ___: int, reasons: Sequence[Any], ____: Any) -> None:
        for topic, reason in zip(self._settings.topic, reasons, strict=False):
            if reason.is_failure:
                self._refused = (
                    f"it refuses to send {topic!r}: {reason}; correct `topic`, or the user's rights"
                )

    def _arrived(self, _: Any, __: Any, message: Any) -> None:
        while message.qos and not self._closing.is_set():
            with contextlib.suppress(queue.Full):
                self._messages.put((self._connection, message), timeout=_WAIT)
                return
        try:
            self._messages.put_nowait((self._connection, message))
        except queue.Full:
            self._dropped += 1
            if self._dropped == 1:
                structlog.get_logger("rsq_pipe").warning(
                    "messages of QoS 0 come faster than they are stored, and are lost", stage=self._stage
                )

    def _settled(self, client: Client, taken: Sequence[tuple[int, Any]], stored: bool) -> None:
        for connection, message in taken if stored else ():
            if connection == self._connection:  # in another connection, its number means another message
                client.paho.ack(message.mid, message.qos)

    def _arrival(self, offset: str, message: Any) -> Arrival:
        raw: bytes = message.payload
        try:
            record: dict[str, Any] = (
                parse(raw) if self._settings.format == "json" else {"value": raw.decode()}
            )
            for field, part in self._settings.fields.items():
                if field in record:
                    raise ValueError(f"it has a field {field!r}, which is to hold the message's {part}")
                record[field] = message.topic if part == "topic" else bool(message.retain)
        except UNREADABLE as exc:
            return Arrival(offset, None, raw, wording(exc), (("mqtt-topic", message.topic),))
        is_whole = self._settings.format == "json" and not self._settings.fields
        return Arrival(offset, record, raw if is_whole else b"")

    def _error(self, what: str) -> SourceError:
        where = self._settings.broker
        return SourceError(f"stage {self._stage!r}: mqtt broker {where}: {what}", stage=self._stage)


def parsed(position: str) -> tuple[int, list[str]]:
    """Read a stored position: how often something was stored, and the filters that the session has."""
    number, _, filters = position.partition(" ")
    return int(number.partition(".")[0] or 0), msgspec.json.decode(filters or "[]", type=list[str])
