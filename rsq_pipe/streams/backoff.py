"""Backoff: growing pauses between attempts, and one log line for a whole outage."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rsq_pipe.errors import ServerUnavailableError, StreamError, StreamFullError
from rsq_pipe.growing_pause import GrowingPause
from rsq_pipe.streams.outage import Outage

T = TypeVar("T")

FIRST = 0.1
"""Seconds of the first pause."""

LONGEST = 5.0
"""Seconds of the longest pause."""

log = logging.getLogger("rsq_pipe.streams")


class Backoff:
    """
    Wait between attempts of one thing that fails.

    Args:
        what: What fails, for the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._pause = GrowingPause(FIRST, LONGEST)
        self._since = 0.0
        self._outage: Outage | None = None
        self.is_failing = False
        """Whether it failed last."""

    async def until_works(
        self, act: Callable[[], Awaitable[T]], stopping: asyncio.Event, *, full: bool = False
    ) -> T:
        """
        Do something, again and again while the server is away; calling it again must be safe.

        Args:
            act: Does it.
            stopping: Once it is set, what fails is not tried again.
            full: Whether a server that is out of memory is waited for as well.

        Raises:
            StreamError: What time does not mend; a server that is away only once `stopping` is set.
        """
        while True:
            try:
                done = await act()
            except StreamError as exc:
                if stopping.is_set() or not _passes(exc, full=full):
                    raise
                await self.wait(exc, stopping)
            else:
                self.reset()
                return done

    async def unless_stopped(
        self, act: Callable[[], Awaitable[T]], stopping: asyncio.Event, *, full: bool = False
    ) -> T | None:
        """Do as `until_works`; return None where it was told to stop while the server was away."""
        try:
            return await self.until_works(act, stopping, full=full)
        except StreamError as exc:
            if stopping.is_set() and _passes(exc, full=full):
                return None
            raise

    async def wait(self, exc: BaseException, stopping: asyncio.Event) -> None:
        """Wait, twice as long as before, or until `stopping` is set; the first failure of many is logged."""
        self.is_failing = True
        if isinstance(exc, ServerUnavailableError) and exc.address:
            # Everything that talks to the server meets this; it is one thing, and said as one.
            self._outage = Outage.of(exc.address)
            self._outage.fails(exc)
        elif not self._pause.seconds:
            log.warning("%s: %s; trying again", self._what, exc)
        if not self._pause.seconds:
            self._since = time.monotonic()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), self._pause.fails())

    def reset(self) -> None:
        """State that it worked; a recovery is logged."""
        self.is_failing = False
        if not self._pause.works():
            return
        if self._outage is not None:
            self._outage.works()
            self._outage = None
        else:
            log.warning("%s: works again after %.1fs", self._what, time.monotonic() - self._since)


def _passes(exc: StreamError, *, full: bool) -> bool:
    return exc.retryable or (full and isinstance(exc, StreamFullError))
