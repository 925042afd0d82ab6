"""Waiting: a record that waits in a stage's state for others, and the form it is stored in."""

from __future__ import annotations

from collections.abc import Iterable

import msgpack
from msgspec import Struct

MET: bytes = msgpack.packb(None)
"""Appended to waiting records: all of them have found a match."""


# Not frozen: a later match marks it.
class Waiting(Struct):
    """
    Hold one record that waits.

    Args:
        rid: Its id.
        raw: Its bytes, as the pipeline's serializer wrote them.
        met: Whether it has already found a match.
    """

    rid: str
    raw: bytes
    met: bool = False


def written(waiting: Iterable[Waiting]) -> bytes:
    """Encode records one after another; more records, and `MET`, can be appended to the result."""
    return b"".join([_pack((one.rid, one.raw, one.met)) for one in waiting])


def all_met(value: bytes) -> bool:
    """Return whether the last item says that all records before it have found a match."""
    return value.endswith(MET)  # a record ends with whether it has found a match: True or False


def read(value: bytes) -> list[Waiting]:
    """Decode records, in the order they were written."""
    try:  # nearly always one record, with or without the mark
        rid, raw, met = _unpack(value[:-1]) if value.endswith(MET) else _unpack(value)
    except ValueError:
        return _read_several(value)
    return [Waiting(rid, raw, met or value.endswith(MET))]


def _read_several(value: bytes) -> list[Waiting]:
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(value)
    found: list[Waiting] = []
    for one in unpacker:
        if one is not None:
            found.append(Waiting(*one))
            continue
        for waiting in found:
            waiting.met = True
    return found


_pack = msgpack.Packer().pack
_unpack = msgpack.unpackb
