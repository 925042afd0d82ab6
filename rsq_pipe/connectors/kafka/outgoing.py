"""Outgoing: turns the records of a batch into messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rsq_pipe.connectors.computed import computed
from rsq_pipe.connectors.jsonl.json_lines import json_rows
from rsq_pipe.connectors.kafka.producer import Message
from rsq_pipe.connectors.kafka.settings import WriteOptions
from rsq_pipe.connectors.record_id import named
from rsq_pipe.error_text import full_text
from rsq_pipe.errors import EncodeError, RsqPipeError, without_frames
from rsq_pipe.model.batch import Batch
from rsq_pipe.streams.headers import PARENT, RID, STATE, is_reserved
from rsq_pipe.streams.serializers import MsgpackSerializer

_msgpack = MsgpackSerializer()


class Outgoing:
    """
    Make messages from records.

    Args:
        options: The sink's settings.
    """

    def __init__(self, options: WriteOptions) -> None:
        self._options = options
        self._is_plain = options.key is None and options.partition is None
        self.needs_key = False
        """Whether the topic takes only messages with a key."""
        self.is_beyond = False
        """Whether a record of the last batch names a partition after those that the topic had."""

    def messages(
        self, batch: Batch, places: Sequence[int], partitions: int
    ) -> tuple[dict[int, Message], dict[int, Exception]]:
        """
        Make the messages of some records of a batch.

        Returns:
            Place -> message; and place -> the error of a record that has none.
        """
        self.is_beyond = False
        values, failures = self._values(batch, places)
        made: dict[int, Message] = {}
        topic, with_headers, most = self._options.topic, self._options.headers, self._options.max_message
        rids, headers_of = [*batch.rids], batch.headers
        key = partition = None
        for place, value in values.items():
            try:
                if not self._is_plain or self.needs_key:
                    key = self._key(batch.records[place])
                    partition = self._partition(batch.records[place], partitions)
                headers: list[tuple[str, bytes]] = []
                if with_headers:
                    headers.append((RID, rids[place].encode()))
                    if place in headers_of:
                        headers += _headers(headers_of[place])
                if len(value) + len(key or b"") + sum([len(text) for _, text in headers]) > most:
                    raise EncodeError(f"its message has {len(value):,} bytes, more than `max_message`")  # noqa: TRY301
            except RsqPipeError as exc:
                failures[place] = without_frames(exc)
            except Exception as exc:  # noqa: BLE001  not every text has bytes: half a surrogate pair
                failures[place] = without_frames(EncodeError(full_text(exc)))
            else:
                made[place] = Message(topic, value, key, partition, headers)
        return made, failures

    def _values(self, batch: Batch, places: Sequence[int]) -> tuple[dict[int, bytes], dict[int, Exception]]:
        if self._options.format == "msgpack":
            return self._packed(batch, places)
        part = batch if len(places) == len(batch) else batch.only(places)
        rows, unwritable = json_rows(part, rid=self._options.rid)
        values = {places[at]: row for at, row in rows.items()}
        return values, {places[at]: error for at, error in unwritable.items()}

    def _packed(self, batch: Batch, places: Sequence[int]) -> tuple[dict[int, bytes], dict[int, Exception]]:
        values: dict[int, bytes] = {}
        failures: dict[int, Exception] = {}
        for place in places:
            record = batch.records[place]
            try:
                values[place] = _msgpack.encode(
                    named(record, batch.rids[place]) if self._options.rid else record
                )
            except EncodeError as exc:
                failures[place] = without_frames(exc)
        return values, failures

    def _key(self, record: Any) -> bytes | None:
        value = None if self._options.key is None else computed("key", self._options.key, record)
        if value is None:
            if self.needs_key:
                raise EncodeError("it has no key, and the topic is compacted: it takes none without", record)
            return None
        if isinstance(value, bool | float) or not isinstance(value, str | int):
            raise EncodeError(f"its key would be {value!r}; a key is text or a whole number")
        return str(value).encode()

    def _partition(self, record: Any, partitions: int) -> int | None:
        if self._options.partition is None:
            return None
        number = computed("partition", self._options.partition, record)
        if type(number) is int and 0 <= number < partitions:
            return number
        self.is_beyond |= type(number) is int and number > 0
        raise EncodeError(
            f"its partition would be {number!r}; the topic has {partitions}, numbered from 0", record
        )


def _headers(headers: Mapping[str, str]) -> list[tuple[str, bytes]]:
    return [
        (name, text.encode())
        for name, text in headers.items()
        if name in (PARENT, STATE) or not is_reserved(name)
    ]
