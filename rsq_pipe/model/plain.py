"""Plain records: what a record is when it comes out of a stream, for stages that have none between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

_AS_THEY_ARE = frozenset((str, int, bool, type(None)))
_WITH_FLOATS = _AS_THEY_ARE | {float}
_NAMES = frozenset((str,))


def is_plain(values: Collection[Any]) -> bool:
    """
    Tell whether values are the same after they have been written to a stream and read again.

    Only looks at scalars: False for lists and dicts, which may hold anything.
    """
    kinds = {*map(type, values)}
    if kinds <= _AS_THEY_ARE:
        return True
    if not kinds <= _WITH_FLOATS:
        return False
    return all(math.isfinite(value) for value in values if type(value) is float)


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
        if {*map(type, record)} <= _NAMES and is_plain(record.values()):
            return record
    elif is_plain([record[name] for name in changed if name in record]):
        return record
    made: dict[str, Any] = decode(encode(record))
    return made
