"""Away: that what a source reads from does not answer, told to whoever runs the source."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

_told: ContextVar[Callable[[str], None] | None] = ContextVar("rsq_pipe_away", default=None)


def told_to(told: Callable[[str], None]) -> None:
    """Have `away` tell this, wherever it is called in this context and those that are copied from it."""
    _told.set(told)


def away(why: object) -> None:
    """
    Say that a source cannot go on at the moment and tries again, at each attempt that fails.

    The next chunk says that it works again. Thread-safe.

    Args:
        why: What failed.
    """
    told = _told.get()
    if told is not None:
        told(str(why))
