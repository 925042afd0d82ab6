"""DeadLetterShare: how many of a stage's last records became dead letters, and whether that is too many."""

from __future__ import annotations

from collections import deque

from rsq_pipe.spec.graph import DeadLetterLimit


class DeadLetterShare:
    """
    Follow one stage's counters, which all processes move together.

    Looked at are as many of the last records as the limit says, to the end of a settlement: some more where
    settlements are large, and none that were handled before `begin`. Until so many have been handled, those
    that are missing count as good.

    Args:
        limit: What is too much.
    """

    def __init__(self, limit: DeadLetterLimit) -> None:
        self._limit = limit
        self._seen: deque[tuple[int, int]] = deque()  # handled, dead: after each settlement

    def begin(self, handled: int, dead: int) -> None:
        """Look at nothing that was handled before."""
        self._seen.clear()
        self._seen.append((handled, dead))

    def too_many(self, handled: int, dead: int) -> str:
        """
        Take note of the counters.

        Returns:
            What is too much, for people; empty where nothing is.
        """
        if not self._seen:
            self.begin(handled, dead)
            return ""
        # What was handled may seem to shrink: of records that other processes put off one hears later.
        handled = max(handled, self._seen[-1][0])
        self._seen.append((handled, dead))
        # The first is the last that stands as far back as is looked at.
        while len(self._seen) > 1 and handled - self._seen[1][0] >= self._limit.over:
            self._seen.popleft()
        then_handled, then_dead = self._seen[0]
        records, bad = handled - then_handled, dead - then_dead
        if bad <= self._limit.share * max(self._limit.over, records):
            return ""
        what = f"{bad:,} of the last {records:,} records became dead letters"
        return f"{what}; {self._limit.text} of {self._limit.over:,} may"
