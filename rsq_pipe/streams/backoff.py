"""Backoff: growing pauses between attempts, and one log line for a whole outage."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import ClassVar, TypeVar

from rsq_pipe.errors import ServerUnavailableError, StreamError, StreamFullError
from rsq_pipe.growing_pause import GrowingPause

T = TypeVar("T")

FIRST = 0.1
"""Seconds of the first pause."""

LONGEST = 5.0
"""Seconds of the longest pause."""

QUIET = 1.0
"""Seconds after a recovery in which connections that broke before it may still fail without a log line."""

FORGOTTEN = 60.0
"""Seconds without a failed attempt after which an outage is over, even if nothing reported success."""

log = logging.getLogger("rsq_pipe.streams")


class Backoff:
    """
    Wait between attempts at one operation that fails.

    Args:
        what: What fails, for the log.
        calm: Seconds after a log line about a failure in which neither another failure nor the recovery is
            logged: for operations that alternate between failing and working, like writes to a server that is
            nearly out of memory.
    """

    _full: ClassVar[set[Backoff]] = set()  # those whose last attempt failed as the server is out of memory

    def __init__(self, what: str, *, calm: float = 0.0) -> None:
        self._what = what
        self._calm = calm
        self._logged_at = -math.inf
        self._is_logged = False  # whether this failure was logged
        self._pause = GrowingPause(FIRST, LONGEST)
        self._since = 0.0
        self._outage: Outage | None = None
        self.is_failing = False
        """Whether the last attempt failed."""

    @classmethod
    def any_waits_for_room(cls) -> bool:
        """Whether an operation of this process waits for a server that is out of memory."""
        return bool(cls._full)

    async def until_works(
        self, act: Callable[[], Awaitable[T]], stopping: asyncio.Event, *, full: bool = False
    ) -> T:
        """
        Run an operation, repeatedly while the server is unreachable; running it again must be safe.

        Args:
            act: The operation.
            stopping: Once it is set, a failed attempt is not repeated.
            full: Whether to wait for a server that is out of memory as well.

        Raises:
            StreamError: Waiting does not help; an unreachable server raises only once `stopping` is set.
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
        """Do the same as `until_works`; return None if stopped while the server was unreachable."""
        try:
            return await self.until_works(act, stopping, full=full)
        except StreamError as exc:
            if stopping.is_set() and _passes(exc, full=full):
                return None
            raise

    async def wait(self, exc: BaseException, stopping: asyncio.Event) -> None:
        """Wait, twice as long as before, or until `stopping` is set; log only the first of many failures."""
        self.is_failing = True
        if isinstance(exc, StreamFullError):
            self._full.add(self)
        if isinstance(exc, ServerUnavailableError) and exc.address:
            # Every user of the server runs into this; it is one problem, and logged as one.
            self._outage = Outage.of(exc.address)
            self._outage.fails(exc)
        else:
            self._log(exc)
        if not self._pause.seconds:
            self._since = time.monotonic()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), self._pause.fails())

    def _log(self, exc: BaseException) -> None:
        now = time.monotonic()
        if not self._pause.seconds:
            self._is_logged = False
        if not self._is_logged and now - self._logged_at >= self._calm:
            self._is_logged, self._logged_at = True, now
            log.warning("%s: %s; trying again", self._what, exc)

    def reset(self) -> None:
        """Note that the operation worked; a recovery is logged."""
        self.is_failing = False
        self._full.discard(self)
        if not self._pause.works():
            return
        if self._outage is not None:
            self._outage.works()
            self._outage = None
        elif self._is_logged:
            log.warning("%s: works again after %.1fs", self._what, time.monotonic() - self._since)


def _passes(exc: StreamError, *, full: bool) -> bool:
    return exc.retryable or (full and isinstance(exc, StreamFullError))


class Outage:
    """
    Track whether one server answers.

    Args:
        address: The server, in the form that may be shown.
    """

    _known: ClassVar[dict[str, Outage]] = {}
    _excused_until: ClassVar[float] = 0.0

    def __init__(self, address: str) -> None:
        self._address = address
        self._since = self._failed = self._worked = 0.0
        self._quiet_until = 0.0
        self._is_logged = False

    @classmethod
    def of(cls, address: str) -> Outage:
        """Find a server's outage, shared by this process."""
        return cls._known.setdefault(address, cls(address))

    @classmethod
    def lasting(cls) -> dict[str, float]:
        """Name the servers that were logged as not answering, and for how many seconds they have not."""
        now = time.monotonic()
        return {
            address: now - outage._since
            for address, outage in cls._known.items()
            if outage._is_logged and not outage._is_over(now)
        }

    @classmethod
    def excuse(cls) -> None:
        """Note that this process stood still until now: what has timed out is not the servers' fault."""
        cls._excused_until = time.monotonic() + QUIET

    def fails(self, error: BaseException) -> None:
        """Note a failed attempt; log it if it is the first one, or the server stays unreachable after all."""
        now = time.monotonic()
        if self._is_over(now):
            self._since, self._is_logged = now, False
            # What breaks right after a recovery is usually a connection that had not been used since. Only
            # after a recovery that was logged, though: otherwise an outage that keeps recurring would never
            # be logged.
            quiet = now <= max(self._quiet_until, self._excused_until)
        else:
            quiet = now - self._since <= QUIET
        self._failed = now
        if not self._is_logged and not quiet:
            self._is_logged = True
            log.warning("%s; trying again", error)

    def works(self) -> None:
        """Note that the server answered; logged if there was an outage."""
        now = time.monotonic()
        if not self._is_over(now) and self._is_logged:
            log.warning("server %s works again after %.1fs", self._address, now - self._since)
            self._quiet_until = now + QUIET
        self._worked = now

    def _is_over(self, now: float) -> bool:
        return not self._failed or self._worked >= self._failed or now - self._failed > FORGOTTEN
