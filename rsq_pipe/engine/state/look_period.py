"""LookPeriod: how long the runner waits before it looks at the pipeline again."""

from __future__ import annotations

MOVING_PERIOD = 0.1
"""Seconds between two looks at what the pipeline holds, for backpressure and for the end."""

ENDING_PERIOD = 0.02
"""Minimum seconds between two looks once all sources have ended: only a look finds the end of the run."""

RESTING_PERIOD = 1.0
"""Maximum seconds between two looks while the pipeline is idle."""

EAGER_PERIOD = 0.05
"""Seconds between two looks while a stage waits for room below."""

_MAX_SHARE = 0.1  # of the time; a long backlog may be left when the sources end


class LookPeriod:
    """Decide how soon to look again: often while records move, most often near the end, rarely at rest."""

    def __init__(self) -> None:
        self._seconds = MOVING_PERIOD

    @property
    def is_resting(self) -> bool:
        """Whether nothing has moved for a while."""
        return self._seconds == RESTING_PERIOD

    def after(self, took: float, *, moved: bool, ending: bool) -> float:
        """
        Return how many seconds to wait after a look.

        Args:
            took: Seconds that the look took.
            moved: Whether it found the pipeline changed.
            ending: Whether all sources have ended.
        """
        if moved and ending:
            self._seconds = min(MOVING_PERIOD, max(ENDING_PERIOD, took / _MAX_SHARE))
        elif moved or ending:
            self._seconds = MOVING_PERIOD
        else:
            self._seconds = min(2 * self._seconds, RESTING_PERIOD)
        return self._seconds
