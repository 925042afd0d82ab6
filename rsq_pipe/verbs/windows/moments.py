"""Moments: the times of records, in milliseconds since 1970."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any

from rsq_pipe.errors import EvaluationError

KEPT = 50_000
"""Number of texts cached with their times: many records share one."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS = dt.timedelta(milliseconds=1)
_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_800  # the years 1 to 9999
_TEXTS = frozenset((str,))
_NUMBERS = frozenset((int, float))


class Moments:
    """Parse times; cache those of texts."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def all(self, values: Sequence[Any]) -> list[int] | None:
        """Parse many at once; None if one of them has to be parsed alone."""
        kinds = {*map(type, values)}
        if kinds <= _TEXTS:
            known = self._known
            try:
                return [known[value] for value in values]
            except KeyError:
                return self._learned({*values} - known.keys(), values)
        if kinds <= _NUMBERS and min(values) >= _EARLIEST and max(values) < _LATEST:
            return [_since_seconds(value) for value in values]
        return None

    def _learned(self, texts: set[str], values: Sequence[Any]) -> list[int] | None:
        if len(self._known) + len(texts) > KEPT:
            self._known.clear()
            texts = {*values}
        try:
            self._known.update({text: moment(text) for text in texts})
        except (ValueError, EvaluationError):
            return None
        return [self._known[value] for value in values]


def moment(value: Any) -> int:
    """
    Parse a time.

    Args:
        value: ISO 8601 text, UTC if it has no offset; seconds since 1970; a date or datetime.

    Raises:
        EvaluationError: It is not a time.
    """
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            what = f"{value[:40]!r} is not a date or time; write ISO 8601, such as 2026-03-01T09:30:00Z"
            raise EvaluationError(what) from None
    if isinstance(value, dt.datetime):
        return _since(value)
    if isinstance(value, dt.date):
        return _since(dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC))
    if type(value) not in _NUMBERS or math.isnan(value):
        raise EvaluationError(
            f"{str(value)[:40]} is not a date or time; write ISO 8601 text, or seconds since 1970"
        )
    if not _EARLIEST <= value < _LATEST:
        raise EvaluationError(
            f"{str(value)[:40]} seconds since 1970 is not a year from 1 to 9999; if these are milliseconds, "
            "divide them: `on: at / 1000`"
        )
    return _since_seconds(value)


def _since_seconds(seconds: float) -> int:
    """Return milliseconds; rounded to microseconds first, as the float 513.958 is a little less than that."""
    return round(seconds * 1_000_000) // 1000


def _since(at: dt.datetime) -> int:
    found: int = ((at if at.tzinfo else at.replace(tzinfo=dt.UTC)) - _EPOCH) // _MS
    return found


def spelled(at: int) -> str:
    """Format a time as ISO 8601 in UTC, with milliseconds only if it has any."""
    whole, rest = divmod(at, 1000)
    try:
        text = (_EPOCH + dt.timedelta(seconds=whole)).isoformat()[:19]
    except OverflowError:
        return "9999-12-31T23:59:59Z" if at > 0 else "0001-01-01T00:00:00Z"
    return f"{text}.{rest:03d}Z" if rest else f"{text}Z"
