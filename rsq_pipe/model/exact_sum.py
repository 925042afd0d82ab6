"""Exact sum: numbers added without rounding, so that every order and grouping gives the same sum."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

# A sum is [type, doubles...]: the doubles' exact sum is the value, and no two overlap (Shewchuk, "Adaptive
# Precision Floating-Point Arithmetic", 1997). Nearly all sums need at most three doubles.
NOTHING, WHOLE, FRACTIONS = 0, 1, 2

LARGEST = 1e290
"""The largest number that is added: the sum of 1e18 of them is still not infinite."""


def summed(values: Collection[Any], *, whole: bool) -> list[Any]:
    """
    Sum numbers, none of them infinite, NaN or beyond LARGEST.

    Args:
        values: The numbers.
        whole: Whether all are whole numbers (or truth values).
    """
    if not values:
        return [NOTHING]
    if whole:
        return [WHOLE, *split(sum(values))]
    small = [value for value in values if type(value) is float or -(2**53) <= value <= 2**53]
    large = [
        part for value in values if type(value) is not float and abs(value) > 2**53 for part in split(value)
    ]
    return [FRACTIONS, *_rest_and_sum([*small, *large])]


def split(number: int) -> list[float]:
    """Split an integer into doubles that do not overlap; none for 0."""
    parts: list[float] = []
    while number:
        parts.append(float(number))
        number -= int(parts[-1])
    return parts[::-1]


def _rest_and_sum(values: list[float]) -> list[float]:
    # fsum() rounds an exact sum once. The rounding error is the exact sum of the numbers and minus the
    # result.
    parts: list[float] = []
    left = list(values)
    while part := math.fsum(left):
        parts.append(part)
        left.append(-part)
    return parts[::-1]


def squares(values: Iterable[Any]) -> list[Any]:
    """Square numbers without rounding: each square as one or two doubles or whole numbers."""
    found: list[Any] = []
    for value in values:
        square = value * value
        found.append(square)
        if type(value) is float and square:
            # Dekker's product: the products of the halves are exact.
            big = value * 134217729.0
            high = big - (big - value)
            low = value - high
            found.append(((high * high - square) + 2.0 * high * low) + low * low)
    return found


def merged_sum(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    """Add two sums; merge.lua does the same."""
    parts: list[float] = [float(part) for part in one[1:]]
    for added in other[1:]:
        parts = _grown(parts, float(added))
    return [max(one[0], other[0]), *parts]


def _grown(parts: Iterable[float], added: float) -> list[float]:
    grown: list[float] = []
    for part in parts:
        high, low = (added, part) if abs(added) >= abs(part) else (part, added)
        added = high + low
        rest = low - (added - high)
        if rest:
            grown.append(rest)
    return [*grown, added] if added else grown


def total(partial: Sequence[Any]) -> int | float | None:
    """Return a sum: null for no values, a whole number for whole numbers, otherwise rounded once."""
    kind, *parts = partial
    if kind == NOTHING:
        return None
    return sum(map(int, parts)) if kind == WHOLE else math.fsum(map(float, parts))
