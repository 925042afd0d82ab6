"""Plain records: what a record is when it comes out of a stream, for stages that have none between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

_SCALARS = frozenset((str, bool, type(None)))
_MAX_INT = 2**63


def is_plain(values: Iterable[Any]) -> bool:
    """
    Tell whether values are the same after they have been written to a stream and read again.

    Only looks at scalars: False for lists and dicts, which may hold anything, and for numbers out of bounds.
    """
    for value in values:
        kind = type(value)
        if kind in _SCALARS:
            continue
        if kind is int:
            if -_MAX_INT <= value < _MAX_INT:
                continue
        elif kind is float and math.isfinite(value):
            continue
        return False
    return True


def plain(
    record: dict[str, Any],
    encode: Callable[[Any], bytes],
    decode: Callable[[bytes], Any],
    changed: Collection[str] | None = None,
) -> dict[str, Any]:
    """
    Make a record what it would be if it came out of a stream.

    Args:
        record: The record.
        encode, decode: As of the pipeline's serializer.
        changed: The fields that may be other than they came out of one; None for all.

    Raises:
        EncodeError: It cannot be written.
    """
    if changed is None:
        if all(type(name) is str for name in record) and is_plain(record.values()):
            return record
    elif is_plain([record[name] for name in changed if name in record]):
        return record
    made: dict[str, Any] = decode(encode(record))
    return made
