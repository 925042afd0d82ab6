"""Waiting: a record that waits in a stage's state for others, and how it is written there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgpack

MET: bytes = msgpack.packb(None)
"""Appended to records that wait: all of them have found another."""


# Not frozen: what comes later marks it.
@dataclass(slots=True)
class Waiting:
    """
    Hold one record that waits.

    Args:
        rid: Its id.
        raw: Its bytes, as the pipeline's serializer wrote them.
        met: Whether it has found another already.
    """

    rid: str
    raw: bytes
    met: bool = False


def written(waiting: Iterable[Waiting]) -> bytes:
    """Write records one behind the other; more, and `MET`, are appended to what is written."""
    return b"".join([_pack((one.rid, one.raw, one.met)) for one in waiting])


def all_met(value: bytes) -> bool:
    """Tell whether the last that was written says that all before it have found another."""
    return value.endswith(MET)  # a record ends with whether it has been met: True or False


def read(value: bytes) -> list[Waiting]:
    """Read what was written, in that order."""
    try:  # nearly always one record, with the mark or without it
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
