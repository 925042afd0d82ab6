"""Functions: those an expression may call: pure, and limited in the size of their results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from rsq_pipe.spec.expressions import patterns
from rsq_pipe.spec.expressions.bounds import (
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
from rsq_pipe.spec.expressions.clock import now
from rsq_pipe.spec.expressions.dates import (
    add,
    date,
    datetime,
    day,
    days_between,
    duration,
    format_date,
    from_timestamp,
    hour,
    in_zone,
    month,
    parse_date,
    seconds_between,
    timestamp,
    weekday,
    year,
)
from rsq_pipe.spec.expressions.digests import digest, uuid
from rsq_pipe.spec.expressions.envelope import header, rid
from rsq_pipe.spec.expressions.field_path import FieldPath, parse_path
from rsq_pipe.spec.expressions.json_text import json, to_json
from rsq_pipe.spec.expressions.patterns import Pattern

MAX_DIGITS = 30
MAX_NUMERAL = 1_000
"""Maximum characters of a text that is parsed as a number."""


def bounded_round(number: float, digits: int | None = None) -> float:
    """Round to a number of decimals, or to a whole number."""
    if digits is not None and abs(digits) > MAX_DIGITS:
        raise TooLargeError(f"round() takes at most {MAX_DIGITS} digits")
    return round(number, digits)


def floor(number: float) -> int:
    """Return the greatest whole number that is not above a number."""
    return math.floor(number)


def ceil(number: float) -> int:
    """Return the least whole number that is not below a number."""
    return math.ceil(number)


def sqrt(number: float) -> float:
    """Return the square root."""
    if number.__class__ in (int, float) and number < 0:
        raise ValueError(f"sqrt() takes no negative number, such as {number}")
    return math.sqrt(number)


def whole(value: Any = 0, base: int | None = None) -> int:
    """Make a whole number from a text or number."""
    if base is None:
        return int(_numeral(value))
    if not isinstance(value, str):
        raise TypeError("int() takes a base for text only")
    return int(_numeral(value), base)


def fraction(value: Any = 0.0) -> float:
    """Make a number from a text or number."""
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


def title(text: str) -> str:
    """Turn the first letter of each word into upper case, the others into lower case."""
    return str.title(text)


def strip(text: str, characters: str | None = None) -> str:
    """Remove spaces (or the given characters) from both ends of a text."""
    return str.strip(text, characters)


def split(text: str, separator: str | None = None) -> list[str]:
    """Split a text at a separator, or at white space."""
    return str.split(text, separator) if len(text) <= MAX_ITEMS else _split_large(text, separator)


def _split_large(text: str, separator: str | None) -> list[str]:
    return list(listed(str.split(text, separator, MAX_ITEMS)))


def startswith(text: str, prefix: str) -> bool:
    """Return whether a text starts with another."""
    return str.startswith(text, prefix)


def endswith(text: str, suffix: str) -> bool:
    """Return whether a text ends with another."""
    return str.endswith(text, suffix)


def matches(text: str, pattern: str) -> bool:
    """Return whether a pattern matches the whole of a text; `'(?s).*a.*'` finds it anywhere, in any line."""
    return patterns.matches([0], text, Pattern(pattern))


def extract(text: str, pattern: str, group: int | str | None = None) -> str | None:
    """Return a regular expression's first match, or that match's (first) group; null if there is none."""
    return patterns.extract([0], text, Pattern(pattern), group)


def extract_all(text: str, pattern: str, group: int | str | None = None) -> list[str | None]:
    """List all matches of a regular expression, or the (first) group of each."""
    return patterns.extract_all([0], text, Pattern(pattern), group)


def replace_matches(text: str, pattern: str, new: str) -> str:
    r"""Replace all matches of a regular expression; `\1` in the new text is the first group."""
    return patterns.replace_matches([0], text, Pattern(pattern), new)


def coalesce(*values: Any) -> Any:
    """Return the first value that is not null."""
    return next((value for value in values if value is not None), None)


def get(value: Any, path: Any, default: Any = None) -> Any:
    """Return the value at `'name'`, `'customer.name'` or `'lines.0.sku'`; if missing, null or a default."""
    if value.__class__ is dict and path in value:
        return value[path]
    if value is None:
        return default
    if path.__class__ is not str:
        return _inner(value, path, default)
    for name in _path(path):
        value = _inner(value, name, _NOTHING)
        if value is _NOTHING:
            return default
    return value


_NOTHING = object()


def _inner(value: Any, name: Any, default: Any) -> Any:
    if isinstance(value, Mapping):
        return value.get(name, default)
    if isinstance(value, list | tuple):
        place = int(name) if name.__class__ is str and name.isdecimal() and len(name) < 10 else name
        if place.__class__ is int:
            return value[place] if -len(value) <= place < len(value) else default
    return default


def _path(text: str) -> FieldPath:
    return _parts(text) if len(text) <= MAX_NUMERAL else (text,)


@lru_cache(maxsize=256)
def _parts(text: str) -> FieldPath:
    try:
        return parse_path(text)
    except ValueError:  # `a..b` may be a column's name
        return (text,)


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
    """List the items in ascending order; with `reverse=True` in descending order."""
    return sorted(listed(items), **named)


def listed_list(items: Iterable[Any] = ()) -> list[Any]:
    """Make a list."""
    return list(listed(items))


def listed_tuple(items: Iterable[Any] = ()) -> tuple[Any, ...]:
    """Make a list that can be the key of a mapping."""
    return tuple(listed(items))


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
    **{f.__name__: f for f in (floor, ceil, sqrt)},
    "range": bounded_range,
    "zip": listed_zip,
    "enumerate": listed_enumerate,
    **{f.__name__: f for f in (lower, upper, title, strip, split, startswith, endswith)},
    "join": bounded_join,
    "replace": bounded_replace,
    **{f.__name__: f for f in (matches, extract, extract_all, replace_matches)},
    **{f.__name__: f for f in (coalesce, get, keys, values, items)},
    **{f.__name__: f for f in (json, to_json)},
    "hash": digest,
    "uuid": uuid,
    **{f.__name__: f for f in (rid, header)},
    **{f.__name__: f for f in (now, date, datetime, parse_date, format_date, in_zone, add, duration)},
    **{f.__name__: f for f in (days_between, seconds_between, timestamp, from_timestamp)},
    **{f.__name__: f for f in (year, month, day, hour, weekday)},
}
