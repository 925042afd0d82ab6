"""Difference: which fields of a record a stage added, changed and removed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct


class Change(Struct, frozen=True):
    """
    Describe one field that has changed.

    Args:
        kind: The kind of change.
        path: Its name, preceded by those of the mappings that contain it.
        before, after: Its values; None if it is absent.
    """

    kind: Literal["added", "changed", "removed"]
    path: str
    before: Any = None
    after: Any = None


def differences(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> Iterator[Change]:
    """Yield the differences, in the order of the fields; a list is one value."""
    for name in dict.fromkeys((*before, *after)):
        where = f"{path}.{name}" if path else str(name)
        if name not in after:
            yield Change("removed", where, before[name])
        elif name not in before:
            yield Change("added", where, after=after[name])
        elif isinstance(before[name], dict) and isinstance(after[name], dict):
            yield from differences(before[name], after[name], where)
        elif not _same(before[name], after[name]):
            yield Change("changed", where, before[name], after[name])


def spelled(value: Any) -> str:
    """Format a value as JSON, on one line."""
    try:
        return json.dumps(value, ensure_ascii=False, default=repr)
    except (TypeError, ValueError, RecursionError):  # keys of any type, endless digits
        return repr(value)


def _same(one: Any, other: Any) -> bool:
    # 1, 1.0 and true are equal in Python, but not as written.
    return type(one) is type(other) and spelled(one) == spelled(other)
