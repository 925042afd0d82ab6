"""CallTimes: how long the calls of each stage of one process took, counted by duration."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

MOST = 63
"""Number of the longest duration that is distinguished: 20 minutes and more."""

TOGETHER = 1.0
"""Seconds that the calls for the records of a pack, or of a batch, should take: they count as a whole."""

FIRST = 10
"""Records in a pack, and in a batch, as long as nobody knows how long a call takes."""


class CallTimes:
    """Count the calls of one process's stages until the counts are taken and added to the shared ones."""

    def __init__(self) -> None:
        self.lasted: defaultdict[str, list[float]] = defaultdict(list)
        """Stage -> the seconds of each call since the last `take`; the caller appends them."""
        self.each: dict[str, float] = {}
        """Stage of this process that calls a handler for each record -> seconds per record; 0 until known."""
        self._counts: Counter[tuple[str, int]] = Counter()

    def together(self, stages: Collection[str], most: int) -> int:
        """
        Return how many records suit some stages as one pack or batch.

        Args:
            stages: Stages that leave the number to us.
            most: The number for quick ones, and for those that do not call a handler for each record here.
        """
        each = [self.each[stage] for stage in stages if stage in self.each]
        if not each:
            return most
        return max(1, min(most, int(TOGETHER / max(each)) if all(each) else FIRST))

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
