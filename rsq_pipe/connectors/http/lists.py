"""Lists: where an answer has lists of records, for a `records` path that leads to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_DEPTH, _SHOWN = 3, 3
"""How many levels of an answer are looked at, and how many of its lists are named."""


def is_named(answer: Any, path: str) -> bool:
    """Return whether the answer has the last name of a path, be its value null."""
    *above, last = path.split(".")
    for name in above:
        if not isinstance(answer, dict):
            return False
        answer = answer.get(name)
    return isinstance(answer, dict) and last in answer


def listed(answer: Any) -> str:
    """Say where the answer has lists, so that a path can be corrected."""
    if isinstance(answer, list):
        return "the answer itself is a list: leave out `records`"
    found = [f"`records: {path}`" for _, path in zip(range(_SHOWN), _lists(answer, "", 1), strict=False)]
    return f"it has a list at {' and '.join(found)}" if found else "it has no list of objects"


def _lists(answer: Any, above: str, depth: int) -> Iterator[str]:
    if not isinstance(answer, dict):
        return
    for name, value in answer.items():
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            yield f"{above}{name}"
    if depth < _DEPTH:
        for name, value in answer.items():
            yield from _lists(value, f"{above}{name}.", depth + 1)
