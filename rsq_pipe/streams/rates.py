"""RateWindow: events per second over the last minute, in bounded memory."""

from __future__ import annotations

import time
from collections import deque

WINDOW = 60
"""Seconds a rate looks back."""


class RateWindow:
    """Count events in one bucket a second, at most WINDOW buckets, however long nobody asks."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque(maxlen=WINDOW)
        self._since = time.monotonic()

    def add(self, amount: int) -> None:
        """Count `amount` events now."""
        second = int(time.monotonic())
        if self._buckets and self._buckets[-1][0] == second:
            amount += self._buckets.pop()[1]
        self._buckets.append((second, amount))

    @property
    def per_second(self) -> float:
        """The mean rate of the last WINDOW seconds, or of the time since the start if that is shorter."""
        now = time.monotonic()
        total = sum(amount for second, amount in self._buckets if second > now - WINDOW)
        return total / min(WINDOW, max(1.0, now - self._since))
