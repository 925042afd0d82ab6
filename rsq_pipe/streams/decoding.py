"""Decoding: turns an entry's bytes into a message."""

from __future__ import annotations

from rsq_pipe.errors import DecodeError
from rsq_pipe.streams.entry import MAX_FIELDS, RawEntry, has_room
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.serializers import Serializer


def undecoded(entry: RawEntry) -> StreamMessage:
    """Make a message whose `data` is the entry's bytes."""
    raw = entry.data
    return StreamMessage(entry.id, raw, entry.deliveries, entry.headers, entry.stream, raw)


def decoded(entry: RawEntry, serializer: Serializer) -> StreamMessage:
    """
    Decode an entry.

    Raises:
        DecodeError: It has no data, or is not a record; a user's own serializer may raise anything.
    """
    if len(entry.fields) > 2 * MAX_FIELDS and not has_room(entry.fields[::2]):
        raise DecodeError(
            f"entry {entry.stream}/{entry.id} has {len(entry.fields) // 2:,} fields; "
            f"the bound is {MAX_FIELDS:,}",
            stream=entry.stream,
            entry_id=entry.id,
        )
    raw = entry.data
    if not raw and not entry.has_data:
        raise DecodeError(
            f"entry {entry.stream}/{entry.id} has no field 'data'", stream=entry.stream, entry_id=entry.id
        )
    return StreamMessage(entry.id, serializer.decode(raw), entry.deliveries, entry.headers, entry.stream, raw)
