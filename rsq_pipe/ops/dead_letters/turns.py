"""Turns: lets others be served while records are gone through one by one, which may take long."""

from __future__ import annotations

import asyncio
import time

LONGEST = 0.01
"""Seconds of work in between, about; one record's expression is not cut short."""


class Turns:
    """Tell how long something goes on, and let others have their turn meanwhile."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        """For how long it goes on."""
        return time.monotonic() - self._began

    async def others(self) -> None:
        """Let others go on, where it is their turn; to be called after each record."""
        if time.monotonic() - self._last >= LONGEST:
            await asyncio.sleep(0)
            self._last = time.monotonic()
