"""Time left: how much of each source has been read, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Mapping

from rsq_pipe.units import age

SURE = 2.0
"""Seconds that a source has to be watched before it is said how long the rest takes."""


class TimeLeft:
    """
    Reckon by how far each source has come since it was first seen, in this run.

    What an earlier run has read says nothing of how fast this one is.
    """

    def __init__(self) -> None:
        self._first: dict[str, tuple[float, float]] = {}

    def told(self, shares: Mapping[str, float], now: float) -> dict[str, str]:
        """
        Say of each source how far it is: `43% read, 2m 5s left`.

        Args:
            shares: How much of each has been read, 0 to 1.
            now: Seconds on a clock that only goes on.
        """
        return {name: self._said(name, share, now) for name, share in shares.items()}

    def _said(self, name: str, share: float, now: float) -> str:
        if share >= 1:
            return "all read"
        first, since = self._first.setdefault(name, (share, now))
        read, seconds = share - first, now - since
        said = f"{share:.0%} read"
        if read <= 0 or seconds < SURE:
            return said
        return f"{said}, {age(max(1.0, seconds * (1 - share) / read))} left"
