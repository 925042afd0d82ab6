"""CallTimes: how long the calls of each stage of one process took, counted by duration."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping

MOST = 63
"""Number of the longest duration that is distinguished: 20 minutes and more."""


class CallTimes:
    """Count the calls of one process's stages until the counts are taken and added to the shared ones."""

    def __init__(self) -> None:
        self.lasted: defaultdict[str, list[float]] = defaultdict(list)
        """Stage -> the seconds of each call since the last `take`; the caller appends them."""
        self._counts: Counter[tuple[str, int]] = Counter()

    def take(self) -> Counter[tuple[str, int]]:
        """Take what was counted: (stage, number of the duration) -> calls."""
        counts, self._counts = self._counts, Counter()
        for stage, calls in self.lasted.items():
            counts.update((stage, slot(seconds)) for seconds in calls)
            calls.clear()
        return counts

    def give_back(self, counts: Counter[tuple[str, int]]) -> None:
        """Add back counts that were taken but could not be stored."""
        self._counts += counts


def slot(seconds: float) -> int:
    """Number a duration: each is longer than the one before by a factor of the square root of two."""
    micros = seconds * 1e6
    return 0 if micros <= 1 else min(MOST, int(2 * math.log2(micros)))


def seconds_of(number: int) -> float:
    """Return the duration in the middle of those that have a number."""
    return float(2 ** ((number + 0.5) / 2) / 1e6)


def quantiles(counts: Mapping[int, int], *shares: float) -> list[float] | None:
    """Return the durations in seconds that these shares of the calls did not exceed; None without calls."""
    total = sum(counts.values())
    if total <= 0:
        return None
    return [_quantile(counts, share * total) for share in shares]


def _quantile(counts: Mapping[int, int], rank: float) -> float:
    seen = 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= rank:
            return seconds_of(number)
    raise AssertionError("the counts are at least the rank")
