"""The functions an expression may call: pure, and bounded in what they build."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rsq_pipe.spec.bounds import (
    MAX_ITEMS,
    TooLargeError,
    bounded_dict,
    bounded_join,
    bounded_range,
    bounded_replace,
    bounded_set,
    bounded_sum,
    bounded_text,
    listed,
)

MAX_DIGITS = 30
MAX_NUMERAL = 1_000
"""Characters of a text that is read as a number."""


def bounded_round(number: float, digits: int | None = None) -> float:
    """Round to a number of decimals, or to a whole number."""
    if digits is not None and abs(digits) > MAX_DIGITS:
        raise TooLargeError(f"round() takes at most {MAX_DIGITS} digits")
    return round(number, digits)


def whole(value: Any = 0, *base: int) -> int:
    """Make a whole number of a text or number."""
    return int(_numeral(value), *base)


def fraction(value: Any = 0.0) -> float:
    """Make a number of a text or number."""
    return float(_numeral(value))


def _numeral(value: Any) -> Any:
    if value.__class__ is str and len(value) > MAX_NUMERAL:
        raise TooLargeError(f"a text of more than {MAX_NUMERAL:,} characters is not read as a number")
    return value


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
    return str.split(text, separator) if len(text) <= MAX_ITEMS else _split_large(text, separator)


def _split_large(text: str, separator: str | None) -> list[str]:
    return list(listed(str.split(text, separator, MAX_ITEMS)))


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
    return list(zip(*map(listed, lists), strict=True))


def listed_enumerate(items: Iterable[Any], start: int = 0) -> list[tuple[int, Any]]:
    """Number the items of a list."""
    return list(enumerate(listed(items), start))


def listed_sorted(items: Iterable[Any], **named: Any) -> list[Any]:
    """Do as in Python."""
    return sorted(listed(items), **named)


def listed_list(items: Iterable[Any] = ()) -> list[Any]:
    """Do as in Python."""
    return list(listed(items))


def listed_tuple(items: Iterable[Any] = ()) -> tuple[Any, ...]:
    """Do as in Python."""
    return tuple(listed(items))


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
    **{f.__name__: f for f in (len, min, max, abs, bool, any, all)},
    "set": bounded_set,
    "dict": bounded_dict,
    "list": listed_list,
    "tuple": listed_tuple,
    "sorted": listed_sorted,
    "int": whole,
    "float": fraction,
    "str": bounded_text,
    "sum": bounded_sum,
    "round": bounded_round,
    "range": bounded_range,
    "zip": listed_zip,
    "enumerate": listed_enumerate,
    **{f.__name__: f for f in (lower, upper, strip, split, startswith, endswith)},
    "join": bounded_join,
    "replace": bounded_replace,
    **{f.__name__: f for f in (coalesce, get, keys, values, items)},
    **{f.__name__: f for f in (date, datetime, days_between, seconds_between)},
    **{f.__name__: f for f in (year, month, day, hour, weekday)},
}
