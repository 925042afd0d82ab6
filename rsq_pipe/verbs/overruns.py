"""Overruns: calls of a stage worker that took longer than its `timeout`, shown while the batch goes on."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rsq_pipe.units import format_duration

log = logging.getLogger("rsq_pipe.verbs")

CALM = 10.0
"""Minimum seconds between two log lines."""


class Overruns:
    """
    Count calls that timed out one after another: with many in one batch, its outcomes come much later.

    Args:
        stage: The stage, for the log.
        timeout: Maximum seconds for one call.
    """

    def __init__(self, stage: str, timeout: float) -> None:
        self._stage = stage
        self._timeout = format_duration(timeout)
        self.count = 0
        """Number of calls in a row that timed out."""
        self._since = 0.0
        self._said_at = -math.inf
        self.works = False
        """Whether calls are being made now."""

    @contextmanager
    def during(self) -> Iterator[None]:
        """Make calls in the block; if none of them times out, a row of those that did has ended."""
        self.works, before = True, self.count
        try:
            yield
        finally:
            self.works = False
            if self.count == before:
                self.clear()

    def note(self, began: float) -> None:
        """Note that a call which began then has timed out."""
        self._since = self._since if self.count else began
        self.count += 1
        if monotonic() - self._said_at >= CALM:
            self._said_at = monotonic()
            log.warning("stage %r: a call took longer than `timeout`, %s", self._stage, self._timeout)

    def clear(self) -> None:
        """Note that a call has ended in time."""
        self.count = 0

    def lasting(self, now: float) -> tuple[str, float] | None:  # noqa: ARG002  as of other calls
        """Return what the stage waits for, and since when; None if its calls end in time."""
        if not self.count or not self.works:
            return None
        calls = "a call" if self.count == 1 else f"{self.count:,} calls in a row"
        return f"{calls} took longer than `timeout`, {self._timeout}", self._since
