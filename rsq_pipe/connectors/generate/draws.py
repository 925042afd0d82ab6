"""Draws: random numbers that depend on a seed, a record and a field alone, so that any can be drawn again."""

from __future__ import annotations

_MASK = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15


class Draws:
    """
    Draw numbers from 0 up to 1, evenly; by SplitMix64.

    Args:
        seed: Which numbers.
        width: How many a record has, at most.
    """

    def __init__(self, seed: int, width: int) -> None:
        self._seed = _mixed(seed & _MASK)
        self._width = max(width, 1)

    def of(self, number: int, place: int) -> float:
        """Draw the one of a field of a record."""
        at = number * self._width + place
        return (_mixed((self._seed + (at + 1) * _STEP) & _MASK) >> 11) / 2**53


def _mixed(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
