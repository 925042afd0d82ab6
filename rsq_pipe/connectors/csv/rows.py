"""Rows: turns records into CSV rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Literal

import msgspec

from rsq_pipe.errors import EncodeError
from rsq_pipe.model.finite import not_finite
from rsq_pipe.model.row_records import RowRecords
from rsq_pipe.streams.wording import unwritable

_AS_THEY_ARE = frozenset((str, int, float, type(None)))
_DICTS = frozenset((dict,))

Extra = Literal["error", "ignore"]
Missing = Literal["error", "empty"]
Formulas = Literal["keep", "escape"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""The beginnings of a text field that a spreadsheet takes for a formula."""


class Rows:
    """
    Collect the rows of one batch; a record that cannot be a row leaves no trace.

    Args:
        fields: The columns.
        extra: Whether a field without a column is an error.
        missing: Whether a column without a field is an error.
        delimiter: The character between two fields.
        formulas: Whether a text that a spreadsheet would run gets an apostrophe in front.
    """

    def __init__(
        self,
        fields: Sequence[str],
        extra: Extra = "error",
        missing: Missing = "error",
        *,
        delimiter: str = ",",
        formulas: Formulas = "keep",
    ) -> None:
        self._fields = fields
        self._names = frozenset(fields)
        self._extra = extra
        self._missing = missing
        self._delimiter = delimiter
        self._escapes = formulas == "escape"
        self._rows = _Lines()
        # It quotes the characters of its line end: with \r\n a lone \r in a field is quoted too, as readers
        # need; the \r of the line end itself is removed again.
        self._writer = csv.writer(self._rows, delimiter=delimiter, lineterminator="\r\n")

    def add_header(self) -> None:
        """
        Add the columns' names.

        Raises:
            EncodeError: They are not text.
        """
        self._write(self._fields, self._fields)

    def add(self, record: Any) -> None:
        """
        Add a record.

        Raises:
            EncodeError: It is not a record, has other fields, or holds values that CSV cannot.
        """
        if not isinstance(record, dict) or not self._fields:
            raise EncodeError("a row needs a record with at least one field", record)
        if record.keys() != self._names:
            self._check_fields(record)
        self._write([record.get(name) for name in self._fields], record)

    def add_all(self, records: Sequence[Any]) -> bool:
        """Add a batch of plain records at once; False, with nothing added, if one needs a closer look."""
        rows = self._plain_rows(records)
        if rows is None:
            return False
        if self._escapes:
            rows = [tuple(map(_no_formula, row)) for row in rows]
        page = io.StringIO(newline="")
        csv.writer(page, delimiter=self._delimiter, lineterminator="\r\n").writerows(rows)
        text = page.getvalue()
        if text.count("\r") != len(rows):  # a \r inside a field is kept
            return False
        try:
            self._rows.lines.append(text.replace("\r\n", "\n").encode())
        except UnicodeEncodeError:
            return False
        return True

    def _plain_rows(self, records: Sequence[Any]) -> list[tuple[Any, ...]] | None:
        if len(self._fields) < 2:
            return None
        if isinstance(records, RowRecords) and (whole := records.rows) is not None:
            rows = self._picked(records.names, whole)
        else:
            rows = self._taken(records)
        if rows is None or not {*map(type, chain.from_iterable(rows))} <= _AS_THEY_ARE:
            return None
        return rows

    def _picked(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]] | None:
        """Pick the columns' values from rows with these fields."""
        if not self._names <= {*names} or (self._extra == "error" and len(names) > len(self._names)):
            return None
        return [*map(itemgetter(*map(names.index, self._fields)), rows)]

    def _taken(self, records: Sequence[Any]) -> list[tuple[Any, ...]] | None:
        if not {*map(type, records)} <= _DICTS:
            return None
        if self._extra == "error" and not all(record.keys() == self._names for record in records):
            return None
        try:
            return [*map(itemgetter(*self._fields), records)]
        except KeyError:
            return None

    def data(self) -> bytes:
        """Join all rows added."""
        return b"".join(self._rows.lines)

    def _write(self, values: Sequence[object], record: object) -> None:
        try:
            row = [value if type(value) in _AS_THEY_ARE else _text(value) for value in values]
            self._writer.writerow(map(_no_formula, row) if self._escapes else row)
        except (csv.Error, TypeError, ValueError, RecursionError, msgspec.MsgspecError) as exc:
            why = unwritable(record, msgspec.json.encode, "csv")
            raise EncodeError(f"the record cannot be written as csv: {why}", record) from exc

    def _check_fields(self, record: dict[str, Any]) -> None:
        misfits = []
        extra = [name for name in record if name not in self._names]
        missing = [name for name in self._fields if name not in record]
        if extra and self._extra == "error":
            them = "it" if len(extra) == 1 else "them"
            fix = f"name {them} in `fields`, or set `extra: ignore`"
            misfits.append(f"no column for {', '.join(map(repr, extra))}; {fix}")
        if missing and self._missing == "error":
            fix = "set `missing: empty` to leave its column empty"
            misfits.append(f"no field {', '.join(map(repr, missing))}; {fix}")
        if misfits:
            raise EncodeError("; and ".join(misfits), record)


class _Lines:
    """The target of the csv writer: separate, as writer and rows would refer to each other in a cycle."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, text: str) -> None:
        """Take one row; the writer calls this once for each."""
        self.lines.append(text[:-2].encode() + b"\n")


def _no_formula(value: object) -> object:
    """Prefix a text that a spreadsheet would run, so that it is shown instead."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def named_in(header: str) -> str:
    """Return the name of the field that a column was written for, undoing the escape of formulas."""
    return header[1:] if header[:1] == "'" and header[1:].startswith(_FORMULA) else header


def _text(value: object) -> object:
    """Write a value as the `csv` source reads it; null is empty, nested values are JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    if path := not_finite(value):
        raise EncodeError(f"the record cannot be written as csv: {path} is not a finite number", value)
    text = msgspec.json.encode(value).decode()
    # Dates and the like are JSON strings: written without JSON's quotes.
    return msgspec.json.decode(text) if text.startswith('"') else text
