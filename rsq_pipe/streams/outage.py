"""Outage: a server's absence, said once a process and not once by everything that misses it."""

from __future__ import annotations

import logging
import time
from typing import ClassVar

log = logging.getLogger("rsq_pipe.streams")

QUIET = 1.0
"""Seconds after a recovery in which connections that broke before it may still be met without a word."""

FORGOTTEN = 60.0
"""Seconds without a failed attempt after which an outage is over, although nobody said that it is."""


class Outage:
    """
    Follow whether one server answers.

    Args:
        address: The server, as it may be shown.
    """

    _known: ClassVar[dict[str, Outage]] = {}

    def __init__(self, address: str) -> None:
        self._address = address
        self._since = self._failed = self._worked = 0.0
        self._quiet_until = 0.0
        self._said = False

    @classmethod
    def of(cls, address: str) -> Outage:
        """Find a server's outage, shared by this process."""
        return cls._known.setdefault(address, cls(address))

    def fails(self, error: BaseException) -> None:
        """Note a failed attempt; logged where it is the first sign, or the server stays away after all."""
        now = time.monotonic()
        if self._is_over(now):
            self._since, self._said = now, False
            # What breaks right after a recovery is usually a connection that nobody had used since. Only
            # after one that was told: else one that dies again and again would be passed over in silence.
            quiet = now <= self._quiet_until
        else:
            quiet = now - self._since <= QUIET
        self._failed = now
        if not self._said and not quiet:
            self._said = True
            log.warning("%s; trying again", error)

    def works(self) -> None:
        """Note that it answered; logged where an outage had been."""
        now = time.monotonic()
        if not self._is_over(now) and self._said:
            log.warning("server %s works again after %.1fs", self._address, now - self._since)
            self._quiet_until = now + QUIET
        self._worked = now

    def _is_over(self, now: float) -> bool:
        return not self._failed or self._worked >= self._failed or now - self._failed > FORGOTTEN
