"""Arrow values: reads the columns of a batch as Python's values, with what Python's types would lose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, time
from typing import Any

from msgspec import Struct

from rsq_pipe.connectors.parquet.maps import Shape, maps_as_lists
from rsq_pipe.connectors.parquet.uuids import with_uuids

_LEAVE_OUT = "leave it out: `columns: [...]`"
_SPAN = "a date or moment outside of the years 1 to 9999"


class Unreadable(Struct, frozen=True):
    """A value that Python has no form for: why, and the value as its file holds it, for the dead letter."""

    why: str
    raw: str


def wrong_columns(schema: Any, wanted: Sequence[str] | None) -> str:
    """
    Find columns that no record can hold.

    Args:
        schema: The columns of the file.
        wanted: Those that are read; None for all.

    Returns:
        What is wrong, and what to do; empty if nothing is.
    """
    names: list[str] = [name for name in schema.names if not wanted or name in wanted]
    if twice := _repeated(names):
        return f"it has several columns {twice!r}; rename one where the file is written"
    for name in names:
        kind = schema.field(name).type
        if "Interval(" in str(kind):
            return f"column {name!r} holds intervals, for which records have no form; {_LEAVE_OUT}"
        if twice := next(filter(None, map(_repeated, _structs(kind))), None):
            return f"column {name!r} has several fields {twice!r}; {_LEAVE_OUT}"
    return ""


def values_of(column: Any, kind: Any, uuids: Sequence[bool] = ()) -> list[Any]:
    """
    List the values of a column; those that Python has no form for as Unreadable.

    Args:
        column: The column.
        kind: Its type.
        uuids: For each leaf of its type whether it holds UUIDs; empty if none does.
    """
    values = _listed(column)
    if uuids:
        values = with_uuids(values, maps_as_lists(column)[1], uuids)
    if _is_moment(kind):
        return _exact(column, values, kind)
    plain, shape = maps_as_lists(column) if "Map(" in str(kind) else (column, None)
    if _has_moments(plain.type):
        numbers = _listed(plain.cast(_in_numbers(plain.type)))
        pairs = zip(values, numbers, strict=True)
        values = [_exact_inside(value, number, plain.type) for value, number in pairs]
    return values if shape is None else [_with_maps(value, shape) for value in values]


def _listed(column: Any) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        values = [_one(column, place) for place in range(len(column))]
    return values


def _one(column: Any, place: int) -> Any:
    try:
        return column.slice(place, 1).to_pylist()[0]
    except (ValueError, OverflowError):
        return Unreadable(_SPAN, _raw(column.slice(place, 1)))


def _raw(column: Any) -> str:
    """Write the only value of a column as the number that its file holds."""
    try:
        number = column.cast(_type().int32() if _is(column.type, "date32") else _type().int64())
        return f"{number.to_pylist()[0]} {column.type.time_unit or 'days'} from 1970"
    except Exception:  # noqa: BLE001  it is inside of a list, say; the number of its row is known
        return ""


def _exact(column: Any, values: list[Any], kind: Any) -> list[Any]:
    """Replace what is null only since Python has no such moment, and what has nanoseconds."""
    if kind.time_unit != "ns" and values.count(None) == column.null_count:
        return values
    numbers = column.cast(_in_numbers(kind)).to_pylist()
    return [_exact_one(value, number, kind) for value, number in zip(values, numbers, strict=True)]


def _exact_one(value: Any, number: int | None, kind: Any) -> Any:
    if value is None and number is not None:
        return Unreadable(_SPAN, f"{number} {kind.time_unit or 'days'} from 1970")
    if kind.time_unit == "ns" and number is not None and number % 1_000:
        return number / 1e9 if _is(kind, "duration") else _moment(value, number)
    return value


def _exact_inside(value: Any, number: Any, kind: Any) -> Any:
    """
    Do the same inside of lists, structs and maps.

    Args:
        value: The value; an entry of a map is a pair.
        number: The value with numbers for moments; an entry of a map is a struct.
        kind: The type of `number`, but for the moments.
    """
    if isinstance(value, Unreadable) or isinstance(number, Unreadable):
        return value
    if _is_moment(kind):
        return _exact_one(value, number, kind)
    if value is None or not _has_moments(kind):
        return value
    if isinstance(value, tuple):
        fields = zip(value, number.values(), kind.fields, strict=True)
        return tuple(_exact_inside(inner, own, field.type) for inner, own, field in fields)
    if kind.fields is not None:
        return {
            field.name: _exact_inside(value[field.name], number[field.name], field.type)
            for field in kind.fields
        }
    return [_exact_inside(*pair, kind.value_type) for pair in zip(value, number, strict=True)]


def _in_numbers(kind: Any) -> Any:
    """Return a type of lists and structs with numbers in place of moments."""
    if _is_moment(kind):
        return _type().int32() if _is(kind, "time32") or _is(kind, "date32") else _type().int64()
    if not _has_moments(kind):
        return kind
    if kind.fields is not None:
        return _type().struct([field.with_type(_in_numbers(field.type)) for field in kind.fields])
    return _type().large_list(_in_numbers(kind.value_type))


def _has_moments(kind: Any) -> bool:
    """Return whether a type is, or holds in lists and structs, a moment, a date, a time or a duration."""
    if kind.fields is not None:
        return any(_has_moments(field.type) for field in kind.fields)
    if kind.value_type is not None and "List" in str(kind).partition("(")[0]:
        return _has_moments(kind.value_type)
    return _is_moment(kind)


def _is_moment(kind: Any) -> bool:
    return any(_is(kind, name) for name in ("timestamp", "date", "time", "duration"))


def _moment(value: datetime | time, number: int) -> Any:
    if isinstance(value, Unreadable):
        return value
    text = value.isoformat(timespec="microseconds")
    end = text.index(".") + 7
    zone = text[end:]
    return f"{text[:end]}{number % 1_000:03}{'Z' if zone == '+00:00' else zone}"


def _with_maps(value: Any, shape: Shape) -> Any:
    """Turn empty maps, which come as empty lists, into mappings."""
    if not shape.inner or value is None or isinstance(value, Unreadable):
        return value
    if shape.is_map:
        _, inner = shape.key_and_value
        return [(key, _with_maps(own, inner)) for key, own in value] or {}
    if isinstance(value, dict):
        return {name: _with_maps(own, of) for (name, own), of in zip(value.items(), shape.inner, strict=True)}
    return [_with_maps(item, shape.inner[0]) for item in value]


def _structs(kind: Any) -> Iterator[list[str]]:
    """Yield the names of the fields of each struct in a type."""
    if kind.fields is not None:
        yield [field.name for field in kind.fields]
        for field in kind.fields:
            yield from _structs(field.type)
    elif kind.value_type is not None:
        yield from _structs(kind.value_type)


def _repeated(names: Sequence[str]) -> str | None:
    return next((name for place, name in enumerate(names) if name in names[:place]), None)


def _is(kind: Any, name: str) -> bool:
    return bool(getattr(_type(), f"is_{name}")(kind))


def _type() -> Any:
    """Import the library's types; whether it is installed was checked along with the file."""
    from arro3.core import DataType  # noqa: PLC0415  imported where it is needed

    return DataType
