"""StreamProducer: pushes records onto a stream, each exactly once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast
from weakref import WeakSet

from rsq_pipe.errors import EncodeError, ServerUnavailableError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.entry import MAX_FIELDS, fields_of, has_room
from rsq_pipe.streams.headers import DATA, check_data
from rsq_pipe.streams.message import NO_HEADERS
from rsq_pipe.streams.metrics import ProducerMetrics, ProducerTally
from rsq_pipe.streams.script import PUSH
from rsq_pipe.streams.serializers import JsonSerializer, Serializer
from rsq_pipe.streams.settlement import Output
from rsq_pipe.streams.waiting import uninterrupted

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""The largest encoded record, in bytes."""

RETRIES = 3
"""How often a push whose reply was lost is sent again; it is stored only once."""

RECEIPT_SECONDS = 300
_BACKOFF = 0.1  # seconds before the first repetition; doubled each time


class StreamProducer:
    """
    Push records onto a stream.

    Args:
        client: The server.
        stream: The stream's name.
        group: A consumer group that `ensure_group` creates.
        max_len: How many entries the stream may hold. Entries that every group has acknowledged are trimmed
            to make room; if that is not enough, a push raises StreamFullError. Entries that a group needs are
            never trimmed.
        serializer: How records are encoded.
        max_record_bytes: The largest encoded record, in bytes.
    """

    _live: ClassVar[WeakSet[StreamProducer]] = WeakSet()

    def __init__(
        self,
        client: StreamClient,
        stream: str,
        group: str | None = None,
        max_len: int | None = None,
        serializer: Serializer | None = None,
        *,
        max_record_bytes: int = MAX_RECORD_BYTES,
    ) -> None:
        self.client = client
        self.stream = stream
        self.key = client.key(stream)
        self.group = group
        self.max_len = max_len
        self.serializer: Serializer = JsonSerializer() if serializer is None else serializer
        self.max_record_bytes = max_record_bytes
        self._name = secrets.token_hex(8)
        self._pushes = 0
        self._lanes: list[int] = []
        self._lane_count = 0
        self._tally = ProducerTally()
        StreamProducer._live.add(self)

    async def push(self, data: dict[str, Any], headers: Mapping[str, str] = NO_HEADERS) -> str:
        """
        Push one record and return its entry id.

        Raises:
            EncodeError: The record cannot be encoded, or is larger than `max_record_bytes`.
            StreamFullError: The stream holds `max_len` entries that some group needs.
            ServerUnavailableError: The server stayed unreachable; whether the record was stored is unknown.

        Delivery: stored once, even if a lost reply makes it be sent again.
        Cancellation: the push still runs to its end.
        Redis: EVALSHA push.lua.
        """
        return (await self.push_many([data], [headers]))[0]

    async def push_many(
        self, data: Sequence[dict[str, Any]], headers: Sequence[Mapping[str, str]] = ()
    ) -> list[str]:
        """Push records in one step, all or none, and return their entry ids; otherwise like `push`."""
        if not data:
            return []
        outputs = [
            self.entry(record, headers[index] if index < len(headers) else NO_HEADERS)
            for index, record in enumerate(data)
        ]
        ids = await uninterrupted(self._push(outputs))
        self._tally.add(len(ids))
        return ids

    def entry(self, record: Any, headers: Mapping[str, str] = NO_HEADERS) -> Output:
        """
        Encode a record as an entry to be written by a Settlement.

        The settlement writes it in the step that acknowledges the entries it was made from.

        Raises:
            EncodeError: As for `push`.
        """
        raw = self.serializer.encode(record)
        if len(raw) > self.max_record_bytes:
            raise EncodeError(
                f"the record is {len(raw)} bytes encoded; max_record_bytes is {self.max_record_bytes}", record
            )
        check_data(headers)
        if len(headers) >= MAX_FIELDS and not has_room((DATA, *headers)):
            raise EncodeError(
                f"the record has {len(headers):,} headers; the bound is {MAX_FIELDS - 1:,}", record
            )
        return Output(self.key, fields_of(raw, headers))

    async def ensure_group(self, group: str | None = None) -> None:
        """Create the consumer group and the stream, unless they exist."""
        name = group or self.group
        if name is None:
            raise ValueError("no group: name one here or when making the producer")
        await self.client.create_group(self.stream, name)

    async def _push(self, outputs: Sequence[Output]) -> list[str]:
        # A receipt per push would fill the server, and a receipt per producer would be overwritten by the
        # next push. A lane is held for as long as its receipt matters, so there are as many lanes as
        # concurrent pushes.
        lane = self._lanes.pop() if self._lanes else self._new_lane()
        self._pushes += 1
        token = str(self._pushes)
        args: list[str | bytes | int] = [token, RECEIPT_SECONDS, self.max_len or 0]
        for output in outputs:
            args += (len(output.fields), *output.fields)
        ids = await self._send(lane, args)
        # A lane whose push was given up is not used again: that push may still arrive.
        self._lanes.append(lane)
        return [entry_id.decode() for entry_id in ids]

    async def _send(self, lane: int, args: Sequence[str | bytes | int]) -> list[bytes]:
        keys = [self.key, self._receipt(lane)]
        for attempt in range(RETRIES):
            try:
                return cast(list[bytes], await self.client.channel.run(PUSH, keys, args))
            except ServerUnavailableError:
                await asyncio.sleep(_BACKOFF * 2**attempt)
        return cast(list[bytes], await self.client.channel.run(PUSH, keys, args))

    def _new_lane(self) -> int:
        self._lane_count += 1
        return self._lane_count

    def _receipt(self, lane: int) -> str:
        tagged = "{" in self.key and "}" in self.key[self.key.index("{") :]
        slot = self.key if tagged else f"{{{self.key}}}"  # the stream's slot, in a cluster too
        return f"{slot}:receipt:{self._name}:{lane}"

    def metrics(self) -> ProducerMetrics:
        """Return how much was pushed and how fast; asks no server."""
        return self._tally.metrics()

    @classmethod
    def all_metrics(cls) -> list[ProducerMetrics]:
        """Return the metrics of every live producer of this process."""
        return [producer.metrics() for producer in cls._live]
