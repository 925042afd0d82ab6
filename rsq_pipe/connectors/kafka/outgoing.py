"""Outgoing: the messages of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rsq_pipe.connectors.kafka.producer import Message
from rsq_pipe.connectors.kafka.write_options import WriteOptions
from rsq_pipe.connectors.record_id import named
from rsq_pipe.errors import EncodeError, RsqPipeError, without_frames
from rsq_pipe.model.batch import Batch
from rsq_pipe.streams.headers import PARENT, RID, STATE, is_reserved
from rsq_pipe.streams.serializers import JsonSerializer, MsgpackSerializer, Serializer


class Outgoing:
    """
    Make messages of records.

    Args:
        options: The sink's.
    """

    def __init__(self, options: WriteOptions) -> None:
        self._options = options
        self._form: Serializer = JsonSerializer() if options.format == "json" else MsgpackSerializer()
        self.needs_key = False
        """Whether the topic takes no message without a key."""

    def messages(
        self, batch: Batch, places: Any, partitions: int
    ) -> tuple[dict[int, Message], dict[int, Exception]]:
        """
        Make the messages of some records of a batch.

        Returns:
            Place -> message; and place -> why there is none.
        """
        made: dict[int, Message] = {}
        failures: dict[int, Exception] = {}
        for place in places:
            try:
                made[place] = self._message(batch, place, partitions)
            except RsqPipeError as exc:
                failures[place] = without_frames(exc)
            except Exception as exc:  # noqa: BLE001  an expression may raise anything
                failures[place] = without_frames(EncodeError(f"{type(exc).__name__}: {exc}"))
        return made, failures

    def _message(self, batch: Batch, place: int, partitions: int) -> Message:
        options, record, rid = self._options, batch.records[place], batch.rids[place]
        value = self._form.encode(named(record, rid) if options.rid else record)
        key = None if options.key is None else _key(options.key.evaluate(record))
        if key is None and self.needs_key:
            raise EncodeError("it has no key, and the topic is compacted: it takes none without", record)
        headers = list(_headers(rid, batch.headers_at(place))) if options.headers else []
        size = len(value) + len(key or b"") + sum(len(name) + len(text) for name, text in headers)
        if size > options.max_message:
            raise EncodeError(f"its message has {size:,} bytes, more than `max_message`", record)
        return Message(options.topic, value, key, self._partition(record, partitions), headers)

    def _partition(self, record: Any, partitions: int) -> int | None:
        if self._options.partition is None:
            return None
        number = self._options.partition.evaluate(record)
        if type(number) is not int or not 0 <= number < partitions:
            raise EncodeError(
                f"its partition would be {number!r}; the topic has {partitions}, numbered from 0", record
            )
        return number


def _key(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, bool | float) or not isinstance(value, str | int):
        raise EncodeError(f"its key would be {value!r}; a key is text or a whole number")
    return str(value).encode()


def _headers(rid: str, headers: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    yield RID, rid.encode()
    for name, text in headers.items():
        if name in (PARENT, STATE) or not is_reserved(name):
            yield name, text.encode()
