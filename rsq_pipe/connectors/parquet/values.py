"""Values: converts the values of a Parquet file to those of records."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec

from rsq_pipe.connectors.parquet.arrow_values import Unreadable, values_of
from rsq_pipe.connectors.source import Arrival

Rows: TypeAlias = tuple[list[tuple[int, dict[str, Any]]], list[tuple[int, Arrival]]]
"""Place -> record; and the rows that cannot be records, each with the number of records before it."""

NO_UUIDS: Mapping[str, Sequence[bool]] = MappingProxyType({})

_AS_THEY_ARE = frozenset((str, int, bool, type(None)))


def _shown(value: Any) -> str:
    return value.raw if isinstance(value, Unreadable) else str(value)


class _NotARecordError(ValueError):
    """A value that JSON cannot express."""


def records(
    batch: Any, shard: str, before: int, name: str, uuids: Mapping[str, Sequence[bool]] = NO_UUIDS
) -> Rows:
    """
    Make records from the rows of a batch.

    Args:
        batch: The rows.
        shard: The prefix of offsets.
        before: How many rows of the file come before these.
        name: The file, for messages.
        uuids: Column -> which leaves of its type hold UUIDs, if any do.

    Returns:
        Place -> record; and the rows that cannot be records, each with the number of records before it.
    """
    names: Sequence[str] = batch.column_names
    kinds = [field.type for field in batch.schema]
    columns = [
        values_of(batch.column(place), kinds[place], uuids.get(names[place], ()))
        for place in range(len(names))
    ]
    try:
        rows = zip(*map(_column, columns), strict=True)
        return list(enumerate(dict(zip(names, row, strict=True)) for row in rows)), []
    except _NotARecordError:
        pass
    found: list[tuple[int, dict[str, Any]]] = []
    broken: list[tuple[int, Arrival]] = []
    for place, row in enumerate(zip(*columns, strict=True)):
        record = dict(zip(names, row, strict=True))
        try:
            found.append((place, {column: plain(value) for column, value in record.items()}))
        except _NotARecordError as exc:
            number = before + place + 1
            raw = msgspec.json.encode({column: _shown(value) for column, value in record.items()})
            arrival = Arrival(f"{shard}:{number}", None, raw, f"{name}: row {number}: {exc}")
            broken.append((len(found), arrival))
    return found, broken


def _column(values: list[Any]) -> list[Any]:
    return values if {*map(type, values)} <= _AS_THEY_ARE else list(map(plain, values))


def plain(value: Any) -> Any:
    """
    Convert to a JSON value: dates are ISO 8601, decimals text, bytes base64, durations seconds, NaN null.

    Raises:
        ValueError: There is none.
    """
    spell = _SPELLINGS.get(type(value))
    return value if spell is None else spell(value)


def _float(value: float) -> float | None:
    if math.isinf(value):
        raise _NotARecordError("an infinite number is not a value of a record")
    return None if math.isnan(value) else value


def _moment(value: datetime) -> str:
    text = value.isoformat()
    return f"{text.removesuffix('+00:00')}Z" if text.endswith("+00:00") else text


def _list(values: list[Any]) -> Any:
    """Convert a list, or a map, which is a list of pairs."""
    if values and all(isinstance(one, tuple) and len(one) == 2 for one in values):
        found = {_key(key): plain(inner) for key, inner in values}
        if len(found) != len(values):
            raise _NotARecordError("a map has one key twice")
        return found
    return list(map(plain, values))


def _key(value: Any) -> str:
    made = plain(value)
    return str(made).lower() if isinstance(made, bool) else str(made)


def _unreadable(value: Unreadable) -> Any:
    raise _NotARecordError(f"{value.why} is not a value of a record")


_SPELLINGS: dict[type, Callable[[Any], Any]] = {
    float: _float,
    datetime: _moment,
    date: date.isoformat,
    time: time.isoformat,
    Decimal: str,
    bytes: lambda value: base64.b64encode(value).decode(),
    timedelta: timedelta.total_seconds,
    Unreadable: _unreadable,
    list: _list,
    dict: lambda value: {str(key): plain(inner) for key, inner in value.items()},
}
