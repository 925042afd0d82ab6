"""OpenCall: a sink's call to its target, from its beginning to its end, so that a long one can be shown."""

from __future__ import annotations

import math

SILENT = 5.0
"""Seconds after which a call that has not ended is shown as what its stage waits for."""


class OpenCall:
    """
    Note when calls of one stage begin and end; there is never more than one at a time.

    Args:
        what: What is called, as a user would write it.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._began = -math.inf
        self._ended = -math.inf

    def begin(self, now: float) -> None:
        """Note that a call begins."""
        self._began, self._ended = now, math.inf

    def end(self, now: float) -> None:
        """Note that it has ended, however it did."""
        self._ended = now

    def lasting(self, now: float) -> tuple[str, float] | None:
        """Return what the stage waits for, and since when; None without a call that lasts long."""
        if now < self._ended and now - self._began >= SILENT:
            return f"a call to {self.what} is still running", self._began
        return None

    def failed_since(self, now: float) -> float:
        """Return since when the call that has just failed had no answer: a short one failed only now."""
        return self._began if self._ended - self._began >= SILENT else now
