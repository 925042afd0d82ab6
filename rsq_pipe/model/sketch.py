"""Sketch: quantiles of numbers, by counting them in bins whose width grows with the numbers (DDSketch)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ERROR = 0.01
"""How far a quantile may be from the number at its rank, as a share of that number."""

MAX_BINS = 2_048
"""How many bins a sketch keeps above zero, and as many below: they span 17 powers of ten."""

SMALLEST = 1e-12
"""Numbers closer to zero count as zero."""

# Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch", VLDB 2019. A sketch is
# [how many are zero, [bin, how many, bin, how many...] of those above zero, the same of those below].
# If there are more bins than it keeps, those nearest zero become one: in whatever order sketches are merged,
# the same bins stay. Bins are a little narrower than necessary, because a quantile is given to five digits.
_WITHIN = 0.99 * ERROR
_GAMMA = (1 + _WITHIN) / (1 - _WITHIN)
_SCALE = 1 / math.log(_GAMMA)


def sketched(values: Sequence[Any]) -> list[Any]:
    """Count numbers in bins."""
    log, ceil, scale = math.log, math.ceil, _SCALE
    above = Counter([ceil(log(value) * scale) for value in values if value > SMALLEST])
    below: Counter[int] = Counter()
    zeros = len(values) - above.total()
    if zeros:
        below = Counter([ceil(log(-value) * scale) for value in values if value < -SMALLEST])
        zeros -= below.total()
    return [zeros, _flat(above), _flat(below)]


def merged_sketch(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    """Add two sketches; merge.lua does the same."""
    sides = [_flat(Counter(_bins(one[side])) + Counter(_bins(other[side]))) for side in (1, 2)]
    return [one[0] + other[0], *sides]


def quantile(sketch: Sequence[Any], share: float) -> float | None:
    """Return the number at a rank, given as a share of the way from least to greatest; None for nothing."""
    zeros, above, below = sketch[0], _bins(sketch[1]), _bins(sketch[2])
    count = zeros + sum(above.values()) + sum(below.values())
    if not count:
        return None
    rank = int(share * (count - 1))
    for number, many in _ascending(zeros, above, below):
        rank -= many
        if rank < 0:
            return number
    raise AssertionError("a rank beyond the count")


def _ascending(zeros: int, above: Mapping[int, int], below: Mapping[int, int]) -> Iterable[tuple[float, int]]:
    for at in sorted(below, reverse=True):
        yield -_middle(at), below[at]
    if zeros:
        yield 0.0, zeros
    for at in sorted(above):
        yield _middle(at), above[at]


def _middle(at: int) -> float:
    """Choose the number in a bin whose relative distance to both ends is the same."""
    return float(f"{2 * math.exp(at / _SCALE) / (_GAMMA + 1):.5g}")


def _bins(flat: Sequence[int]) -> dict[int, int]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _flat(bins: Mapping[int, int]) -> list[int]:
    order = sorted(bins)
    if len(order) > MAX_BINS:
        lost, order = order[:-MAX_BINS], order[-MAX_BINS:]
        bins = {**bins, order[0]: bins[order[0]] + sum(bins[at] for at in lost)}
    return [number for at in order for number in (at, bins[at])]
