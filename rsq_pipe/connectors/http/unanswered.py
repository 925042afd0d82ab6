"""Unanswered: the requests of a sink that have no answer yet, so that it can be shown that it waits."""

from __future__ import annotations

from itertools import count
from time import monotonic

SILENT = 5.0
"""Seconds without an answer after which a request is shown as what the stage waits for."""


class Unanswered:
    """
    Hold the requests that are open.

    Args:
        what: The request, as a user would write it.
        timeout: Maximum seconds for one.
    """

    def __init__(self, what: str, timeout: float) -> None:
        self._why = f"{what}: no answer yet; it may take `timeout`, {timeout:g} s"
        self._numbers = count()
        self._open: dict[int, float] = {}
        self._failed_since: float | None = None

    def begin(self) -> int:
        """Note that a request begins; return its number."""
        number = next(self._numbers)
        self._open[number] = monotonic()
        return number

    def end(self, number: int, *, answered: bool) -> None:
        """Note that a request has ended, and whether it was answered well, or at least refused."""
        began = self._open.pop(number)
        if answered:
            self._failed_since = None
        elif self._failed_since is None:
            self._failed_since = began

    def lasting(self, now: float) -> tuple[str, float] | None:
        """Return what the stage waits for, and since when; None while requests are answered."""
        if not self._open:
            return None
        since = min(self._open.values()) if self._failed_since is None else self._failed_since
        return (self._why, since) if now - since >= SILENT else None
