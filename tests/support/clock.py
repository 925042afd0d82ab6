"""A clock that stands still until a test moves it."""

from __future__ import annotations


class Clock:
    """Hold a time in seconds; call it, or `monotonic`, to read it."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def monotonic(self) -> float:
        """Read it, in the place of the module `time`."""
        return self.now
