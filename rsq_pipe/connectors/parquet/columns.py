"""Columns: the types given to a sink, and the records that fit them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AfterValidator

from rsq_pipe.connectors.record_id import FIELD, named
from rsq_pipe.errors import EncodeError, without_frames
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.finite import not_finite
from rsq_pipe.streams.wording import unwritable

Extra = Literal["error", "ignore"]

_DECIMAL = re.compile(r"decimal\((\d{1,2}),\s*(\d{1,2})\)")
_MOST_DIGITS = 38
_EXACT = 2**53  # from here on, not every whole number has an exact float
_encoder = msgspec.json.Encoder()


def _known(name: str) -> str:
    if name in _CHECKS:
        return name
    found = _DECIMAL.fullmatch(name)
    if found and 1 <= int(found[1]) <= _MOST_DIGITS and int(found[2]) <= int(found[1]):
        return name
    raise ValueError(f"there is no type {name!r}; use {', '.join(_CHECKS)} or decimal(18,2)")


ColumnType = Annotated[str, AfterValidator(_known)]
"""The type of a column, as written in a pipeline file."""


class Columns:
    """
    Make rows from records by the types of their columns.

    Args:
        types: Column -> type.
        extra: Whether a field without a column is an error.
        rid: Whether each record is written with its record id.
    """

    def __init__(self, types: Mapping[str, str], extra: Extra, *, rid: bool) -> None:
        self.types = {FIELD: "str", **types} if rid else dict(types)
        self._checks = {name: _check(type_) for name, type_ in self.types.items()}
        self._extra = extra
        self._rid = rid

    def lines(self, batch: Batch) -> tuple[bytes, dict[int, Exception]]:
        """Format each record as a line of JSON; report those that do not fit: place -> why."""
        rows: list[dict[str, Any]] = []
        failures: dict[int, Exception] = {}
        for place, record in enumerate(batch.records):
            try:
                row = self._row(named(record, batch.rids[place]) if self._rid else record)
                _encoder.encode(row)
            except EncodeError as exc:
                failures[place] = without_frames(exc)
            except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
                why = unwritable(record, _encoder.encode, "JSON")
                failures[place] = EncodeError(f"the record cannot be a row: {why}", record)
            else:
                rows.append(row)
        return _encoder.encode_lines(rows), failures

    def _row(self, record: Any) -> dict[str, Any]:
        if not isinstance(record, Mapping):
            raise EncodeError("a row needs a record with at least one field", record)
        if self._extra == "error" and (extra := [name for name in record if name not in self._checks]):
            them = "it" if len(extra) == 1 else "them"
            fix = f"name {them} in `columns`, or set `extra: ignore`"
            raise EncodeError(f"no column for {', '.join(map(repr, extra))}; {fix}", record)
        row: dict[str, Any] = {}
        for name, check in self._checks.items():
            value = record.get(name)
            try:
                row[name] = None if value is None else check(value)
            except (ValueError, TypeError, InvalidOperation, OverflowError) as exc:
                what = f"field {name!r} is {_shown(value)}, and its column is of type {self.types[name]}"
                raise EncodeError(what + _fix(name, self.types[name], value), record) from exc
        return row


def _fix(name: str, type_: str, value: Any) -> str:
    """Suggest a fix for a computed number that has more decimals than a decimal column."""
    found = _DECIMAL.fullmatch(type_)
    if found is None or not isinstance(value, float) or not math.isfinite(value):
        return ""
    if abs(value) >= 10 ** (int(found[1]) - int(found[2])):
        return ""
    return f"; round it in a stage above: `map: {{{name}: round({name}, {found[2]})}}`"


def _check(name: str) -> Callable[[Any], Any]:
    if found := _DECIMAL.fullmatch(name):
        return _decimal(int(found[1]), int(found[2]))
    return _CHECKS[name]


def _int(value: Any) -> int:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _float(value: Any) -> float:
    whole = type(value) is int and abs(value) <= _EXACT
    if not whole and not (isinstance(value, float) and math.isfinite(value)):
        raise ValueError
    return float(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004  like the others: reported as one kind of mismatch
    return value


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004
    return value


def _date(value: Any) -> str:
    return date.fromisoformat(value).isoformat()


def _datetime(value: Any) -> str:
    moment = datetime.fromisoformat(value)
    zoned = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return zoned.astimezone(UTC).isoformat()


def _decimal(digits: int, places: int) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError  # noqa: TRY004
        number = Decimal(str(value))
        if not number.is_finite():
            raise ValueError
        if not number:
            return "0"  # `0e-999999999` would be written with as many zeros
        # Decimals beyond those of the column would be cut off silently.
        if number.adjusted() >= digits - places or _decimals(number) > places:
            raise ValueError
        return f"{number:f}"

    return check


def _decimals(number: Decimal) -> int:
    """Count the decimals of a number, without zeros at its end, and without writing it out."""
    _, figures, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    return -exponent - len(figures) + len("".join(map(str, figures)).rstrip("0"))


def _json(value: Any) -> str:
    if path := not_finite(value):
        raise EncodeError(f"the record cannot be a row: {path} is not a finite number", value)
    return _encoder.encode(value).decode()


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "str": _str,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "date": _date,
    "datetime": _datetime,
    "json": _json,
}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
