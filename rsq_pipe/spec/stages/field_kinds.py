"""Kinds: the field types of `validate`, and the values accepted for each."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct

from rsq_pipe.connectors.csv.field_types import PARSERS


def _itself(value: Any) -> Any:
    return value


class Kind(Struct, frozen=True):
    """
    Describe one type.

    Args:
        name: Its name in a rule.
        wanted: The text after "must be ..." in messages.
        takes, gives: For the reference page: accepted values, and the values passed on.
        read: Converts a record's value to this type, or raises ValueError.
        plain: A Python type whose values are always valid unchanged, if there is one.
        literal: Parses a value in a rule.
        measure: Converts a value of this type to the one that is compared.
        ordered: Whether values can be compared.
        sized: Whether they have a length.
        changes: Whether `read` may return a different value.
    """

    name: str
    wanted: str
    takes: str
    gives: str
    read: Callable[[Any], Any]
    plain: type | None = None
    literal: Callable[[str], Any] = _itself
    measure: Callable[[Any], Any] = _itself
    ordered: bool = False
    sized: bool = False
    changes: bool = False


# Text is parsed by the rules of a CSV source's `types`. Nothing is rounded, and no number becomes text or
# a boolean: a value whose meaning would change is a mistake.


def _parsed(name: Any) -> Callable[[str], Any]:
    parse = PARSERS[name]
    assert parse is not None
    return parse


_int, _float, _bool = _parsed("int"), _parsed("float"), _parsed("bool")
_date, _datetime, _decimal = _parsed("date"), _parsed("datetime"), _parsed("decimal")


def _read_int(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    return int(_int(_text(value)))


def _read_float(value: Any) -> float:
    if type(value) is float:
        if math.isfinite(value):
            return value
    elif type(value) is int:
        try:
            return float(value)
        except OverflowError as exc:
            raise ValueError from exc
    return float(_float(_text(value)))


def _read_decimal(value: Any) -> Any:
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return value
    return _decimal(_text(value))


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError
    return value


def _exactly(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError
        return value

    return read


def _moment(text: str) -> datetime:
    """Parse a time; one without a zone counts as UTC, so that any two can be compared."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_AS_IT_IS = "it is"
_TAKES_INT = "a whole number, such as 12 or 12.0, or text that spells one"
_TAKES_FLOAT = "a number, or text that spells one"

_ALL = (
    Kind("str", "text", "text", _AS_IT_IS, _exactly(str), str, sized=True),
    Kind(
        "int",
        "a whole number",
        _TAKES_INT,
        "a whole number",
        _read_int,
        int,
        literal=_int,
        ordered=True,
        changes=True,
    ),
    Kind(
        "float",
        "a number",
        _TAKES_FLOAT,
        "a number with a fraction",
        _read_float,
        literal=_float,
        ordered=True,
        changes=True,
    ),
    Kind(
        "decimal",
        "a decimal number",
        _TAKES_FLOAT,
        _AS_IT_IS,
        _read_decimal,
        literal=_decimal,
        measure=lambda value: Decimal(str(value)),
        ordered=True,
    ),
    Kind(
        "bool",
        "true or false",
        "`true`, `false`, or text: `true false yes no 1 0`, large or small letters",
        "`true` or `false`",
        lambda value: value if type(value) is bool else _bool(_text(value)),
        bool,
        literal=_bool,
        changes=True,
    ),
    Kind(
        "date",
        "a date, such as 2026-01-31",
        "text: a date as ISO 8601 has it",
        _AS_IT_IS,
        lambda value: _date(_text(value)),
        literal=_date,
        measure=date.fromisoformat,
        ordered=True,
    ),
    Kind(
        "datetime",
        "a date and time, such as 2026-01-31T09:30:00Z",
        "text: a date, with a time or without, as ISO 8601 has it",
        _AS_IT_IS,
        lambda value: _datetime(_text(value)),
        literal=_datetime,
        measure=_moment,
        ordered=True,
    ),
    Kind("list", "a list", "a list", _AS_IT_IS, _exactly(list), list, sized=True),
    Kind("dict", "a mapping", "a mapping", _AS_IT_IS, _exactly(dict), dict, sized=True),
    Kind("any", "anything", "anything, null too", _AS_IT_IS, _itself, sized=False),
)
KINDS = {kind.name: kind for kind in _ALL}
"""Name -> type, in the order of the reference page."""
