"""DeadLetterShare: how many of a stage's last records became dead letters, and if that is too many."""

from __future__ import annotations

from collections import deque

from rsq_pipe.spec.graph import DeadLetterLimit


class DeadLetterShare:
    """
    Follow one stage's counters, which all processes share.

    It covers as many of the last records as the limit says, rounded up to whole settlements, and none
    that were handled before `begin`. Until that many have been handled, the missing ones count as good.

    Args:
        limit: How many are too many.
    """

    def __init__(self, limit: DeadLetterLimit) -> None:
        self._limit = limit
        self._seen: deque[tuple[int, int]] = deque()  # handled, dead: after each settlement

    def begin(self, handled: int, dead: int) -> None:
        """Ignore everything that was handled before."""
        self._seen.clear()
        self._seen.append((handled, dead))

    def too_many(self, handled: int, dead: int) -> str:
        """
        Store the counters, and compare their increase with the limit.

        Returns:
            What exceeds the limit, in words; empty if nothing does.
        """
        if not self._seen:
            self.begin(handled, dead)
            return ""
        # The count may seem to shrink: records put off by other processes become known later.
        handled = max(handled, self._seen[-1][0])
        self._seen.append((handled, dead))
        # As the first, keep only the latest that is at least as far back as the limit says.
        while len(self._seen) > 1 and handled - self._seen[1][0] >= self._limit.over:
            self._seen.popleft()
        then_handled, then_dead = self._seen[0]
        records, bad = handled - then_handled, dead - then_dead
        if bad <= self._limit.share * max(self._limit.over, records):
            return ""
        what = f"{bad:,} of the last {records:,} records became dead letters"
        return f"{what}; {self._limit.text} of {self._limit.over:,} may"
