"""Clock: the time that `now()` returns, which belongs to the current record."""

from __future__ import annotations

import datetime as dt
import time
from contextvars import ContextVar

MOMENT: ContextVar[float | None] = ContextVar("moment", default=None)
"""Arrival time of the current record in seconds since 1970; None if there is no current record."""


def now() -> dt.datetime:
    """Return the time at which the record came to the stage, in UTC; the same on every attempt."""
    at = MOMENT.get()
    return dt.datetime.fromtimestamp(time.time() if at is None else at, dt.UTC)
