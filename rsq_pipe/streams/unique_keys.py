"""Unique keys: an object that names a key twice is refused, rather than losing one of the two values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_SHOWN = 80  # how many characters of a key a message shows


class RepeatedKeyError(ValueError):
    """An object names a key twice."""


def unique_keys(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """
    Make a dict from a decoder's pairs (an `object_pairs_hook`), in linear time.

    Raises:
        RepeatedKeyError: A key occurs twice among them; with its name.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        name = repeated(key for key, _ in pairs)
        raise RepeatedKeyError(f"key {shown(name)} appears twice in one object")
    return found


def repeated(names: Iterable[Any]) -> Any:
    """Find the first name that occurred before; None if each occurs once."""
    seen = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def shown(name: Any) -> str:
    """Write a name for a message: a key may be as long as its record."""
    text = repr(name)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
