"""Plain records: what a record is when it comes out of a stream, for stages that have none between them."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

_SCALARS = frozenset((str, int, float, bool, type(None)))
_RECORDS, _NAMES = frozenset((dict,)), frozenset((str,))
_MAX_INT = 2**63


def is_plain(values: Collection[Any]) -> bool:
    """
    Tell whether values are the same after they have been written to a stream and read again.

    Only looks at scalars: False for lists and dicts, which may hold anything, for numbers that are not finite
    or need more than 64 bits, and for text with half of a surrogate pair.
    """
    kinds = {*map(type, values)}
    if not kinds <= _SCALARS:
        return False
    if float in kinds and not all(math.isfinite(value) for value in values if type(value) is float):
        return False
    if int in kinds:
        numbers = [value for value in values if type(value) is int]
        if max(numbers) >= _MAX_INT or min(numbers) < -_MAX_INT:
            return False
    return str not in kinds or _is_text("".join([value for value in values if type(value) is str]))


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def are_plain(records: Collection[dict[str, Any]], changed: Collection[str] | None = None) -> bool:
    """
    Tell whether records, a whole batch at once, are what they would be out of a stream.

    Args:
        records: The records.
        changed: The fields that may be other than they came out of one; None for all.
    """
    if changed is not None:
        return is_plain([record[name] for record in records for name in changed if name in record])
    if not {*map(type, records)} <= _RECORDS:
        return False
    names = {name for record in records for name in record}
    return (
        {*map(type, names)} <= _NAMES
        and is_plain(names)
        and is_plain([value for record in records for value in record.values()])
    )
