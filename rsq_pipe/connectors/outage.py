"""Outage: reports to the engine that the system a source reads from does not answer, and waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from rsq_pipe.growing_pause import GrowingPause

if TYPE_CHECKING:  # `validate` imports the sources, logs nothing, and is to start fast
    import structlog

SILENT = 5.0
"""Seconds without an answer after which a wait is reported."""

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("rsq_pipe_outage", default=None)


class SourceBackoff:
    """
    Report each failed attempt to read from a system; log when an outage begins and when it ends.

    The caller waits: it knows what ends the wait.

    Args:
        first, longest: Seconds of the first pause, which doubles with each failure, and of the longest.
        where: What a report begins with.
        log: Where outages are logged; None if the caller logs each attempt.
        away, back: The log lines for the first failure and for the recovery; empty for none.
    """

    def __init__(
        self,
        first: float,
        longest: float,
        *,
        where: str = "",
        log: structlog.stdlib.BoundLogger | None = None,
        away: str = "",
        back: str = "",
    ) -> None:
        self._pause = GrowingPause(first, longest)
        self._where = f"{where}: " if where else ""
        self._log = log
        self._away = away
        self._back = back

    def fails(self, why: object) -> float:
        """Report a failed attempt; return the seconds to wait before the next one."""
        report_outage(f"{self._where}{why}")
        if self._log is not None and not self._pause.seconds:
            self._log.warning(self._away, error=str(why))
        return self._pause.fails()

    def works(self) -> bool:
        """Note that the system answers; return whether it did not until now."""
        had_failed = self._pause.works()
        if self._log is not None and had_failed and self._back:
            self._log.warning(self._back)
        return had_failed


def report_outages_to(listener: Callable[[str], None]) -> None:
    """
    Make `report_outage` and `report_recovery` call this, in this context and in copies of it.

    Args:
        listener: Called with why the system does not answer, or with an empty text when it answers again.
    """
    _listener.set(listener)


def report_outage(why: object) -> None:
    """
    Report that a source cannot continue at the moment and tries again; call it at each failed attempt.

    The next chunk shows that it works again. Thread-safe.

    Args:
        why: What failed.
    """
    if (listener := _listener.get()) is not None:
        listener(str(why))


@contextmanager
def report_if_silent(why: str) -> Iterator[None]:
    """Report the wait if the block, one request to a system, takes long; the next chunk ends the report."""
    listener = _listener.get()
    if listener is None:
        yield
        return
    timer = threading.Timer(SILENT, listener, [why])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def report_recovery() -> None:
    """Report that the system answers again, where no chunk shows it: there is nothing new. Thread-safe."""
    if (listener := _listener.get()) is not None:
        listener("")
