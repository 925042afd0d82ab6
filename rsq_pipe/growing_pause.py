"""GrowingPause: how long to wait before a failed operation is tried again."""

from __future__ import annotations


class GrowingPause:
    """
    Double the pause with each failure, up to a limit, until the operation works.

    Args:
        first, longest: Seconds.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self.seconds = 0.0
        """The pause after the last failure; 0 while it works."""

    def fails(self) -> float:
        """Note a failure; return the seconds to wait."""
        self.seconds = min(self._longest, 2 * self.seconds or self._first)
        return self.seconds

    def works(self) -> bool:
        """Note a success; return whether it had failed before."""
        had_failed = self.seconds > 0
        self.seconds = 0.0
        return had_failed
