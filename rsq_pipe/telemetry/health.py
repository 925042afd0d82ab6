"""Health: whether this process is alive, and whether it is ready for work."""

from __future__ import annotations

import time
from collections.abc import Callable

LIVE = 30.0
"""Seconds after which an event loop that has not turned counts as stuck."""

READY = 5.0
"""Seconds after which a server that has not answered counts as unreachable."""

LOST = 2.0
"""Seconds without a refusal after which a process is ready again: a replica answers all that only reads."""


class Health:
    """
    Store the last signs of life. Written by the event loop, read by the endpoint's threads.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turned = clock()
        self._reached: float | None = None
        self._lost: float | None = None
        self.why = ""
        """Why the server was last found not to answer, or to refuse."""

    def turned(self) -> None:
        """Note that the event loop is running."""
        self._turned = self._clock()

    def reached(self) -> None:
        """Note that the groups are created and the server has answered."""
        self._reached = self._clock()

    def lost(self, why: str) -> None:
        """Note that the server did not answer, or refused, and why."""
        self._reached, self._lost = None, self._clock()
        self.why = why

    @property
    def live(self) -> bool:
        """Whether the event loop ran recently; if not, only a restart helps."""
        return self._clock() - self._turned < LIVE

    @property
    def ready(self) -> bool:
        """Whether the server answered recently, after the groups were created."""
        now = self._clock()
        if self._lost is not None and now - self._lost < LOST:
            return False
        return self.live and self._reached is not None and now - self._reached < READY
