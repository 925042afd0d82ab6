"""Block: the records of several lines that were read at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Block:
    """
    Hold the records of the first lines of what was there to be read.

    Args:
        records: The records.
        lines: For each the line it begins in, counted from 0.
        size: Bytes of all lines that were read, blank ones too.
        count: Lines that were read. The next one is not a record, or not a plain one: it is read with care.
        raws: The bytes of each record, where they are kept.
    """

    records: Sequence[dict[str, Any]]
    lines: Sequence[int]
    size: int
    count: int
    raws: Sequence[bytes] = ()


ReadBlock: TypeAlias = Callable[[bytes], Block]
"""Reads as many whole lines, from the first, as can be read at once; to the same result as with care."""


def nothing(_: bytes) -> Block:
    """Read nothing at once: everything is read with care."""
    return Block([], (), 0, 0)
