"""The functions an expression may call: pure, and bounded in what they build."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# A larger text, list or range inside one expression is a mistake (or an attack through the record).
MAX_ITEMS = 1_000_000
MAX_DIGITS = 30
MAX_POWER_BITS = 4_096


class TooLargeError(ValueError):
    """A value that would be larger than an expression may build."""


def bounded_range(start: int, stop: int | None = None, step: int = 1) -> list[int]:
    """List whole numbers, at most 1,000,000."""
    numbers = range(start) if stop is None else range(start, stop, step)
    # Slicing instead of len(): a range longer than a machine word has no len().
    if numbers[MAX_ITEMS:]:
        raise TooLargeError(f"range() may give at most {MAX_ITEMS:,} numbers")
    return list(numbers)


def bounded_round(number: float, digits: int | None = None) -> float:
    """Round to a number of decimals, or to a whole number."""
    if digits is not None and abs(digits) > MAX_DIGITS:
        raise TooLargeError(f"round() takes at most {MAX_DIGITS} digits")
    return round(number, digits)


def lower(text: str) -> str:
    """Turn text into lower case."""
    return str.lower(text)


def upper(text: str) -> str:
    """Turn text into upper case."""
    return str.upper(text)


def strip(text: str, characters: str | None = None) -> str:
    """Take spaces (or the given characters) off both ends of a text."""
    return str.strip(text, characters)


def split(text: str, separator: str | None = None) -> list[str]:
    """Split a text at a separator, or at white space."""
    return str.split(text, separator)


def join(separator: str, items: Iterable[Any]) -> str:
    """Put a separator between items; items that are not text are written as text."""
    parts = [str(item) for item in items]
    if sum(map(len, parts)) + len(separator) * len(parts) > MAX_ITEMS:
        raise TooLargeError(f"join() may build at most {MAX_ITEMS:,} characters")
    return separator.join(parts)


def replace(text: str, old: str, new: str) -> str:
    """Replace every occurrence of one text by another."""
    if len(text) + str.count(text, old) * len(new) > MAX_ITEMS:
        raise TooLargeError(f"replace() may build at most {MAX_ITEMS:,} characters")
    return str.replace(text, old, new)


def startswith(text: str, prefix: str) -> bool:
    """Tell whether a text starts with another."""
    return str.startswith(text, prefix)


def endswith(text: str, suffix: str) -> bool:
    """Tell whether a text ends with another."""
    return str.endswith(text, suffix)


def coalesce(*values: Any) -> Any:
    """Give the first value that is not null."""
    return next((value for value in values if value is not None), None)


def get(mapping: Mapping[str, Any] | None, key: str, default: Any = None) -> Any:
    """Give a mapping's value, or a default where the key (or the mapping) is missing."""
    return default if mapping is None else mapping.get(key, default)


def keys(mapping: Mapping[str, Any]) -> list[str]:
    """List a mapping's keys."""
    return list(mapping)


def values(mapping: Mapping[str, Any]) -> list[Any]:
    """List a mapping's values."""
    return list(mapping.values())


def items(mapping: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """List a mapping's key-value pairs."""
    return list(mapping.items())


def listed_zip(*lists: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Pair the items of lists of one length."""
    return list(zip(*lists, strict=True))


def listed_enumerate(items: Iterable[Any], start: int = 0) -> list[tuple[int, Any]]:
    """Number the items of a list."""
    return list(enumerate(items, start))


def date(value: str | dt.date) -> dt.date:
    """Read a date from ISO 8601 text, to compare it; `str(date(x))` is text again."""
    if isinstance(value, dt.datetime):
        return value.date()
    return value if isinstance(value, dt.date) else datetime(value).date()


def datetime(value: str | dt.date) -> dt.datetime:
    """Read a moment from ISO 8601 text; one without an offset is taken as UTC."""
    if isinstance(value, str):
        moment = dt.datetime.fromisoformat(value)
    elif isinstance(value, dt.datetime):
        moment = value
    elif isinstance(value, dt.date):
        moment = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    else:
        raise TypeError(f"{type(value).__name__} is not a date or ISO 8601 text")
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def days_between(start: str | dt.date, end: str | dt.date) -> int:
    """Count the days from one date to another; negative if the second is earlier."""
    return (date(end) - date(start)).days


def seconds_between(start: str | dt.date, end: str | dt.date) -> float:
    """Count the seconds from one moment to another; negative if the second is earlier."""
    return (datetime(end) - datetime(start)).total_seconds()


def year(value: str | dt.date) -> int:
    """Give a date's year."""
    return date(value).year


def month(value: str | dt.date) -> int:
    """Give a date's month, 1 to 12."""
    return date(value).month


def day(value: str | dt.date) -> int:
    """Give a date's day of the month."""
    return date(value).day


def hour(value: str | dt.date) -> int:
    """Give a moment's hour, 0 to 23."""
    return datetime(value).hour


def weekday(value: str | dt.date) -> int:
    """Give a date's day of the week: 1 is Monday, 7 is Sunday."""
    return date(value).isoweekday()


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (len, sum, min, max, abs, int, float, str, bool, sorted, any, all)},
    **{f.__name__: f for f in (set, list, dict, tuple)},
    "round": bounded_round,
    "range": bounded_range,
    "zip": listed_zip,
    "enumerate": listed_enumerate,
    **{f.__name__: f for f in (lower, upper, strip, split, join, replace, startswith, endswith)},
    **{f.__name__: f for f in (coalesce, get, keys, values, items)},
    **{f.__name__: f for f in (date, datetime, days_between, seconds_between)},
    **{f.__name__: f for f in (year, month, day, hour, weekday)},
}


def times(left: Any, right: Any) -> Any:
    """Multiply; refuse to repeat a text or list beyond bounds, whatever a record's fields hold."""
    if left.__class__ is float or right.__class__ is float:
        return left * right
    if not isinstance(left, int | float):
        _check_repeat(left, right)
    elif not isinstance(right, int | float):
        _check_repeat(right, left)
    return left * right


def _check_repeat(items: Any, count: Any) -> None:
    if isinstance(items, str | list | tuple) and isinstance(count, int) and len(items) * count > MAX_ITEMS:
        raise TooLargeError(f"`*` may repeat a text or list to at most {MAX_ITEMS:,} items")


def power(base: Any, exponent: Any) -> Any:
    """Raise to a power; refuse whole numbers beyond 4,096 bits."""
    whole = isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1
    if whole and (base.bit_length() - 1) * abs(exponent) > MAX_POWER_BITS:
        raise TooLargeError(f"`**` may give whole numbers of at most {MAX_POWER_BITS:,} bits")
    return base**exponent


def modulo(left: Any, right: Any) -> Any:
    """Take the remainder; refuse `text % values`, whose widths can build texts of any size."""
    if isinstance(left, str | bytes):
        raise TypeError("`%` takes numbers; write text with f'...'")
    return left % right
