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
    pack = msgpack.Packer().pack
    return b"".join([pack([one.rid, one.raw, one.met]) for one in waiting])


def read(value: bytes) -> list[Waiting]:
    """Read what was written, in that order."""
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
