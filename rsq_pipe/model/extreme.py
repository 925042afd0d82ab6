"""Extreme: the least or greatest value, and the first or last by time, in a form that Lua can compare."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec

from rsq_pipe.model.exact_sum import split
from rsq_pipe.model.own_stack import on_own_stack

# A number is [whether it is whole, its doubles from the largest], as Lua has no whole numbers beyond 2^53.
# Text stays as it is. Numbers sort before text; of equal numbers the whole one is kept. Nothing is False,
# since Lua's arrays cannot hold nil.
NOTHING = False

_DIGITS = re.compile(r"\d+")
_encoder = msgspec.json.Encoder(order="deterministic")


def ordered(value: Any) -> Any:
    """Convert a number or text to the form in which it is compared."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, float):
        return [0, value + 0.0]  # -0.0 becomes 0.0: the two are equal, so which one is kept would be chance
    return [1, *split(value)[::-1]]


def least(values: Sequence[Any]) -> Any:
    """Find the least of numbers and texts."""
    numbers = [value for value in values if not isinstance(value, str)]
    if numbers:
        return ordered(min(numbers, key=lambda value: (value, type(value) is float)))
    return ordered(min(values)) if values else NOTHING


def greatest(values: Sequence[Any]) -> Any:
    """Find the greatest of numbers and texts."""
    texts = [value for value in values if isinstance(value, str)]
    if texts:
        return ordered(max(texts))
    return ordered(max(values, key=lambda value: (value, type(value) is not float))) if values else NOTHING


def merged_least(one: Any, other: Any) -> Any:
    """Choose the lesser of two extremes; merge.lua does the same."""
    if one is NOTHING or other is NOTHING:
        return other if one is NOTHING else one
    return other if _compared(other, one) < 0 or _equal_and_whole(other, one) else one


def merged_greatest(one: Any, other: Any) -> Any:
    """Choose the greater of two extremes; merge.lua does the same."""
    if one is NOTHING or other is NOTHING:
        return other if one is NOTHING else one
    return other if _compared(other, one) > 0 or _equal_and_whole(other, one) else one


def _equal_and_whole(one: Any, other: Any) -> bool:
    return isinstance(one, list) and _compared(one, other) == 0 and one[0] > other[0]


def _compared(one: Any, other: Any) -> int:
    """Compare two values: below 0 if the first is the lesser."""
    if isinstance(one, bytes) or isinstance(other, bytes):
        left = (isinstance(one, bytes), one if isinstance(one, bytes) else b"")
        right = (isinstance(other, bytes), other if isinstance(other, bytes) else b"")
        return (left > right) - (left < right)
    for at in range(1, max(len(one), len(other))):
        mine = one[at] if at < len(one) else 0
        theirs = other[at] if at < len(other) else 0
        if mine != theirs:
            return 1 if mine > theirs else -1
    return 0


def shown(value: Any) -> Any:
    """Return the value of an extreme; None for nothing."""
    if value is NOTHING:
        return None
    if isinstance(value, bytes):
        return value.decode()
    return sum(map(int, value[1:])) if value[0] else float(value[1])


def placed(at: int, rid: str, value: Any) -> list[Any]:
    """Attach to a value its place in time: [when, a key by which ids sort, the value as JSON]."""
    return [at, sort_key(rid).encode(), _encoder.encode(value)]


def sort_key(rid: str) -> str:
    """Encode an id so that `read:9` sorts before `read:10`: each number is prefixed with its length."""
    return _DIGITS.sub(lambda found: chr(48 + min(len(found[0]), 60)) + found[0], rid)


def merged_first(one: Any, other: Any) -> Any:
    """Choose the earlier of two placed values; merge.lua does the same."""
    if one is NOTHING or other is NOTHING:
        return other if one is NOTHING else one
    return min(one, other)


def merged_last(one: Any, other: Any) -> Any:
    """Choose the later of two placed values; merge.lua does the same."""
    if one is NOTHING or other is NOTHING:
        return other if one is NOTHING else one
    return max(one, other)


def value_of(placed: Any) -> Any:
    """Return the value of a placed one; None for nothing."""
    return None if placed is NOTHING else on_own_stack(msgspec.json.decode, placed[2])


def plain(value: Any) -> Any:
    """Convert a date or datetime to the text that a record holds for it."""
    return value.isoformat() if isinstance(value, date) else value
