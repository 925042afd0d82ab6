"""Clock: the time that `now()` gives, which belongs to the current record."""

from __future__ import annotations

import datetime as dt
import time
from contextvars import ContextVar

MOMENT: ContextVar[float | None] = ContextVar("moment", default=None)
"""Seconds since 1970 at which the current record came; None if there is no current record."""


def now() -> dt.datetime:
    """Give the time at which the record came to the stage, in UTC; the same on every attempt."""
    at = MOMENT.get()
    return dt.datetime.fromtimestamp(time.time() if at is None else at, dt.UTC)
