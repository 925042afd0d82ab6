"""Record form: what dates, sets and keys in an expression's value become in a record, which is JSON."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import msgspec

from rsq_pipe.spec.expressions.dates import format_date, iso


def as_record(value: Any) -> Any:
    """
    Convert a value to what it is in a record: dates become text, sets lists, and all keys text.

    Raises:
        TypeError: A key is null, a truth value or a list, which cannot be a name.
        ValueError: A key is not a finite number, or two keys have one name, as 1 and '1' have.
    """
    kind = value.__class__
    if kind is str or kind is bool:
        return value
    if isinstance(value, dt.date):
        return iso(value)
    if kind is dict:
        return _mapping(value)
    if kind is set:
        return [as_record(item) for item in in_order(value)]
    if kind in {list, tuple}:
        return kind(map(as_record, value))
    return value


def in_order(items: Any) -> Any:
    """Return items in the order they have; those of a set, which has none, in ascending order."""
    if not isinstance(items, set):
        return items
    try:
        return sorted(items)
    except TypeError:  # of several types
        return sorted(items, key=lambda item: (type(item).__name__, str(item)))


def formatted(value: Any, form: str) -> str:
    """Format a value in an f-string; a date or moment in the form that records use, or by its directives."""
    if isinstance(value, dt.date):
        return format_date(value, form) if "%" in form else format(iso(value), form)
    return format(value if value.__class__ in _PLAIN else as_record(value), form)


_PLAIN = frozenset([str, int, float, bool, type(None)])


def _mapping(value: dict[Any, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for key, inner in value.items():
        name = key if key.__class__ is str else _name(key)
        if name in named:
            raise ValueError(f"two keys have the name {name!r} in a record")
        named[name] = as_record(inner)
    return named


def _name(key: Any) -> str:
    if isinstance(key, dt.date):
        return iso(key)
    if key.__class__ not in {int, float}:
        raise TypeError(f"a field cannot be named by {type(key).__name__}; write str(key)")
    if not math.isfinite(key):
        raise ValueError("a field cannot be named by a number that is not finite; write str(key)")
    return msgspec.json.encode(key).decode()
