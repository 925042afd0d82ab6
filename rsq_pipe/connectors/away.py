"""Away: reports to the engine that the system a source reads from does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

SILENT = 5.0
"""Seconds without an answer after which a wait is reported."""

_told: ContextVar[Callable[[str], None] | None] = ContextVar("rsq_pipe_away", default=None)


def told_to(told: Callable[[str], None]) -> None:
    """
    Make `away` and `answers` call this, wherever they are called in this context and in copies of it.

    Args:
        told: Called with why the system does not answer, or with nothing when it answers again.
    """
    _told.set(told)


def away(why: object) -> None:
    """
    Report that a source cannot continue at the moment and tries again; call it at each failed attempt.

    The next chunk shows that it works again. Thread-safe.

    Args:
        why: What failed.
    """
    told = _told.get()
    if told is not None:
        told(str(why))


@contextmanager
def away_if_silent(why: str) -> Iterator[None]:
    """Report the wait if the block, one request to a system, takes long; the next chunk ends the report."""
    told = _told.get()
    if told is None:
        yield
        return
    timer = threading.Timer(SILENT, told, [why])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def answers() -> None:
    """Report that what was away answers, where no chunk shows it: there is nothing new. Thread-safe."""
    told = _told.get()
    if told is not None:
        told("")
