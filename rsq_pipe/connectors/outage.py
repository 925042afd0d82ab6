"""Outage: reports to the engine that the system a source reads from does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

SILENT = 5.0
"""Seconds without an answer after which a wait is reported."""

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("rsq_pipe_outage", default=None)


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
