"""Values: converts records' values to columns of SQL, and results of SQL to values of records."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from rsq_pipe.model.finite import not_finite

NULL = "NULL"
_KINDS = {
    type(None): NULL,
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
    str: "VARCHAR",
    dict: "JSON",
    list: "JSON",
}
_LONG, _LONGEST = 2**63, 2**127
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def kind(value: Any) -> str:
    """
    Return the SQL type of one value of a record, looking at nothing else.

    Raises:
        ValueError: It has no SQL type.
    """
    found = _KINDS.get(type(value))
    if found is None:
        raise ValueError(f"is of type {type(value).__name__}, which SQL has no form for here")
    if found == "BIGINT" and not -_LONG <= value < _LONG:
        if not -_LONGEST <= value < _LONGEST:
            raise ValueError("has a whole number of more than 128 bits")
        return "HUGEINT"
    if found == "DOUBLE" and not math.isfinite(value):
        raise ValueError("is not a finite number")
    return found


def one_kind(values: Sequence[Any]) -> str | None:
    """Return the one SQL type of all these values; None if they have several, or one has none."""
    types = {*map(type, values)}
    if len(types) != 1:
        return None
    found = _KINDS.get(types.pop())
    if found == "BIGINT":
        return found if min(values) >= -_LONG and max(values) < _LONG else None
    if found == "DOUBLE" and not all(map(math.isfinite, values)):
        return None
    return found


def given(values: list[Any], of: str) -> list[Any]:
    """Convert values of one type to DuckDB's parameters; ValueError if one cannot be converted."""
    if of != "JSON":
        return values
    return [None if value is None else _as_json(value) for value in values]


def _as_json(value: Any) -> str:
    try:
        raw = _encode(value)
        place = not_finite(value) if b"null" in raw else ""  # it would be written as null
    except RecursionError:
        raise ValueError("a field is nested too deeply") from None
    except TypeError:  # out of msgpack
        raise ValueError("a field holds a key or a value that JSON has no form for") from None
    if place:
        raise ValueError(f"holds a number at {place} that is not finite")
    return raw.decode()


_PLAIN = frozenset(
    {
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "HUGEINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "UHUGEINT",
        "VARCHAR",
        '"NULL"',
    }
)
_NESTED = ("STRUCT", "MAP", "JSON", "VARIANT")
_NAIVE = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")

Reader = Callable[[Any], Any]
"""Converts a non-null value computed by SQL to a value of a record."""


def leaving(column: str, of: str) -> tuple[str, Reader | None]:
    """
    Return how a column of a result becomes a field.

    Args:
        column: Its name in SQL.
        of: Its type.

    Returns:
        The expression that selects it, and the function that converts its values; None if not needed.

    Raises:
        ValueError: Records cannot hold the type.
    """
    head = of.partition("(")[0]
    if of in _PLAIN:
        return column, None
    if of in _READ:
        return column, _READ[of]
    if head == "DECIMAL":
        return column, _number
    if of in _NAIVE:
        return f"replace({column}::varchar, ' ', 'T')", _moment
    if of == "TIMESTAMP WITH TIME ZONE":
        return f"replace(({column} at time zone 'UTC')::varchar, ' ', 'T') || 'Z'", _moment
    if of.endswith("]") or head in _NESTED:
        return f"to_json({column})::varchar", _nested
    if head in _AS_TEXT:
        return f"{column}::varchar", _AS_TEXT[head]
    raise ValueError(f"is of type {of}, which a record has no form for; cast it: `::varchar`")


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"is {value}, which JSON has no form for")
    return value


def _number(value: Decimal) -> float:
    number = float(value)
    if Decimal(repr(number)) != value:
        raise ValueError(f"is {value}, with more digits than a number keeps; cast it to varchar or to double")
    return number


def _moment(text: str) -> str:
    if not text[:1].isdigit() or text.endswith(("(BC)", "(BC)Z")):
        raise ValueError(f"is {text}, which ISO 8601 has no form for")
    return text


def _nested(text: str) -> Any:
    try:
        return _decode(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except msgspec.DecodeError:
        raise ValueError("holds a number that is not finite, which JSON has no form for") from None


_AS_TEXT: dict[str, Reader | None] = {"DATE": _moment, "BIGNUM": int}
_AS_TEXT |= dict.fromkeys(("UUID", "TIME", "TIME_NS", "ENUM"))
_READ: dict[str, Reader] = {"DOUBLE": _finite, "FLOAT": _finite}
