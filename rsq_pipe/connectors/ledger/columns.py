"""Columns: the mapping of a record's fields to the columns of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from rsq_pipe.connectors.record_id import FIELD
from rsq_pipe.errors import EncodeError

Extra = Literal["error", "ignore"]
Missing = Literal["error", "empty"]
Fresh = Literal["error", "append", "empty"]


class Column(Struct, frozen=True):
    """
    Describe a column of a table.

    Args:
        name: Its name.
        type: Its type, as the database names it.
        fills_itself: Whether it gets a value if none is given: it has a default, or auto-increments.
        is_computed: Whether no value may be given.
        is_identity: Whether that is so only unless rows are copied, as for an identity of PostgreSQL.
        is_json: Whether it holds JSON.
        is_array: Whether it holds an array.
        parts: The fields of a composite type, if it holds one, or an array of them.
        needs_value: Whether a row without a value for it is always refused: it may not be null, and neither
            the database nor a trigger gives it one.
    """

    name: str
    type: str = ""
    fills_itself: bool = False
    is_computed: bool = False
    is_identity: bool = False
    is_json: bool = False
    is_array: bool = False
    parts: tuple[Column, ...] = ()
    needs_value: bool = False


class Columns:
    """
    Map the fields of records to columns.

    Args:
        table: The table's columns.
        fields: Column -> field, as the user wrote it; None for all columns, from fields of the same names.
        extra: Whether a field without a column is an error.
        missing: Whether a column without a field is an error.
        required: Columns that must have a value.
        rid: Whether the column `rid` gets the record's id.

    Raises:
        ValueError: The table has no such column.
    """

    def __init__(
        self,
        table: Sequence[Column],
        *,
        fields: Mapping[str, str] | None,
        extra: Extra,
        missing: Missing,
        required: Sequence[str] = (),
        rid: bool = False,
    ) -> None:
        known = {column.name: column for column in table}
        wanted = list(fields or [one.name for one in table if not one.is_computed])
        if rid and FIELD not in wanted:
            wanted.append(FIELD)
        for name in (*wanted, *required):
            if name not in known:
                raise ValueError(f"it has no column {name!r}; it has {', '.join(known)}")
        self._of = {name: (fields or {}).get(name, name) for name in wanted}
        self._columns = [known[name] for name in wanted]
        self._names = frozenset(self._of.values())
        self._extra = extra
        self._missing = missing
        self._required = [self._of.get(name, name) for name in required]
        self._rid = rid

    def plain(self, records: Sequence[Any], *, with_rid: bool) -> tuple[tuple[Column, ...], list[str]] | None:
        """Return a batch's columns and fields, if its records have the same fields and all have a column."""
        first = records[0]
        if type(first) is not dict:
            return None
        keys = first.keys()
        if not all(type(record) is dict and record.keys() == keys for record in records):
            return None
        required = [name for name in self._required if name in keys]
        if with_rid or any(record[name] is None for name in required for record in records):
            return None
        try:
            columns, _ = self.of(first)
        except EncodeError:
            return None
        if not all(self._of[column.name] in keys for column in columns):
            return None
        return columns, [self._of[column.name] for column in columns]

    def of(self, record: Any) -> tuple[tuple[Column, ...], list[Any]]:
        """
        Return the columns that a record fills, and their values.

        Raises:
            EncodeError: It has too many or too few fields.
        """
        if not isinstance(record, dict):
            raise EncodeError("a row needs a record with fields", record)
        if self._extra == "error" and not record.keys() <= self._names:
            raise EncodeError("; and ".join(self._misfits(record)), record)
        for name in self._required:
            if record.get(name) is None:
                raise EncodeError(f"its field {name!r} has no value, and the table needs one", record)
        columns = tuple(one for one in self._columns if self._of[one.name] in record or not one.fills_itself)
        if self._missing == "error" and not all(self._of[one.name] in record for one in columns):
            raise EncodeError("; and ".join(self._misfits(record)), record)
        return columns, [record.get(self._of[one.name]) for one in columns]

    def _misfits(self, record: Mapping[str, Any]) -> Iterator[str]:
        """Describe the fields without a column, and the columns without a field, in one go."""
        extra = [repr(name) for name in record if name not in self._names]
        if extra and self._extra == "error":
            them = "it" if len(extra) == 1 else "them"
            fix = f"add {them} to the table, or set `extra: ignore` to leave {them} out"
            yield f"the table has no column for {', '.join(extra)}; {fix}"
        fields = [self._of[one.name] for one in self._columns if not one.fills_itself]
        missing = [repr(name) for name in fields if name not in record]
        if missing and self._missing == "error":
            yield f"no field {', '.join(missing)}; set `missing: empty` to leave its column empty"


def made_columns(records: Sequence[Any], fields: Mapping[str, str] | None) -> dict[str, str]:
    """Return the columns of a table for these records, each with its field: those of the first record."""
    if fields is not None:
        return dict(fields)
    first = next((record for record in records if isinstance(record, dict) and record), {})
    return {name: name for name in first}
