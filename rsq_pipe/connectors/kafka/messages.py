"""Messages: turns Kafka messages into records."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.kafka.settings import ReadOptions
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.connectors.wording import wording
from rsq_pipe.errors import DecodeError
from rsq_pipe.streams.headers import is_reserved
from rsq_pipe.streams.serializers import MsgpackSerializer
from rsq_pipe.units import format_moment

KEY = "kafka-key"
"""The header of a dead letter with the key of a message that is not a record."""

_REGISTRY = (
    "it begins with byte 0, as messages do that are written with a schema registry (Avro, Protobuf), and "
    "those are not supported"
)

_msgpack = MsgpackSerializer()


class Messages:
    """
    Make chunks from messages.

    Args:
        options: The source's settings.
    """

    def __init__(self, options: ReadOptions) -> None:
        self._format = options.format
        self._fields = options.fields
        self._headers = options.headers
        self._is_whole = options.format == "json" and not options.fields

    def chunk(self, shard: str, messages: Iterable[Any], position: str) -> Chunk:
        """Make a chunk from a partition's messages; `position` is the one after them."""
        records: list[dict[str, Any]] = []
        raws: list[bytes] = []
        chunk = Chunk(records, offsets := [], position, broken := [], raws.__getitem__, headers := {})
        for message in messages:
            raw = message.value
            if self._is_whole and raw is not None and not (self._headers and message.headers):
                # Nearly every message, without an object for it.
                try:
                    records.append(parse(raw))
                except UNREADABLE:
                    pass
                else:
                    offsets.append(f"{shard}:{message.offset}")
                    raws.append(raw)
                    continue
            arrival = self._arrival(shard, message)
            if arrival.data is None:
                broken.append((len(records), arrival))
                continue
            if arrival.headers:
                headers[len(records)] = arrival.headers
            records.append(arrival.data)
            offsets.append(arrival.offset)
            raws.append(arrival.raw)
        return chunk

    def _arrival(self, shard: str, message: Any) -> Arrival:
        """Make a record from a message, or a broken arrival with its bytes."""
        offset = f"{shard}:{message.offset}"
        headers = tuple(_texts(message.headers)) if self._headers and message.headers else ()
        raw: bytes | None = message.value
        try:
            if raw is None:
                raise ValueError("the message has no value: a tombstone, which says that its key is deleted")
            record = self._record(raw)
            if self._fields:
                self._add(record, message)
        except (*UNREADABLE, DecodeError) as exc:
            key = message.key
            if key is not None:
                headers = (*headers, (KEY, key.decode(errors="backslashreplace")))
            return Arrival(offset, None, raw if raw is not None else b"", self._why(exc, raw), headers)
        return Arrival(offset, record, raw if self._is_whole else b"", headers=headers)

    def _why(self, error: Exception, raw: bytes | None) -> str:
        if self._format == "json" and raw and raw[0] == 0:
            return f"{wording(error)}; {_REGISTRY}"
        return wording(error)

    def _record(self, raw: bytes) -> dict[str, Any]:
        if self._format == "json":
            return parse(raw)
        if self._format == "msgpack":
            return _msgpack.decode(raw)
        return {"value": raw.decode()}

    def _add(self, record: dict[str, Any], message: Any) -> None:
        for field, part in self._fields.items():
            if field in record:
                raise ValueError(f"its value has a field {field!r}, which is to hold the message's {part}")
            record[field] = _part(message, part)


def _part(message: Any, part: str) -> Any:
    if part == "key":
        return None if message.key is None else _key(message.key)
    if part == "timestamp":
        return None if message.timestamp < 0 else _time(message.timestamp)
    return getattr(message, part)


def _key(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise ValueError(f"its key cannot be a field: {wording(exc)}") from exc


def _time(milliseconds: int) -> str:
    try:
        at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError) as exc:
        raise ValueError(
            f"its timestamp, {milliseconds}, is not a time in milliseconds: {exc}; leave it out of `fields`"
        ) from exc
    return format_moment(at)


def _texts(headers: Iterable[tuple[str, bytes | None]]) -> Iterable[tuple[str, str]]:
    """Return the headers that a record may have."""
    for name, value in headers:
        if value is None or is_reserved(name):
            continue
        try:
            yield name, value.decode()
        except UnicodeDecodeError:
            continue
