"""Numbers that are none: NaN and the infinities, which JSON has no form for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 1_000
"""Levels of a record that is searched for numbers that are none; msgspec writes no deeper one."""

may_hold_null = re.compile(b"null").search
"""Whether JSON may say null, as it does for such numbers; `in` takes twice as long over a batch."""

_LOOKED_INTO = (float, dict, list, tuple)


def not_finite(value: Any) -> str:
    """
    Name the place of the first NaN or infinity, which msgspec writes as null; empty if there is none.

    Raises:
        RecursionError: It is deeper than MAX_DEPTH, or holds itself.
    """
    waiting = [(value, "$", 0)]
    while waiting:
        item, place, depth = waiting.pop()
        if isinstance(item, float) and not math.isfinite(item):
            return place
        if depth > MAX_DEPTH:
            raise RecursionError(f"it is nested deeper than {MAX_DEPTH:,} levels")
        inner: Iterable[tuple[Any, Any]] = ()
        if isinstance(item, dict):
            inner = ((f".{key}", one) for key, one in item.items())
        elif isinstance(item, list | tuple):
            inner = ((f"[{index}]", one) for index, one in enumerate(item))
        found = [(one, place + step, depth + 1) for step, one in inner if isinstance(one, _LOOKED_INTO)]
        waiting += reversed(found)
    return ""
