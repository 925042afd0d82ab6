"""Records: turns a change of a row into a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.postgres_cdc.messages import UNCHANGED, Change, Relation, Row, Unchanged
from rsq_pipe.connectors.postgres_cdc.options import FIELDS
from rsq_pipe.connectors.postgres_cdc.values import Convert


class When(Struct, frozen=True):
    """The commit of a change: `lsn` as text, and the time, if known."""

    lsn: str
    time: str | None


class Records:
    """
    Build the records of one table.

    Args:
        table: Its name, with its schema.
        columns: Its columns, in the order of the rows' values.
        converters: Convert the values of each column.
        key: The columns of its key.
        prefix: The prefix of the names of the additional fields.

    Raises:
        RefusedError: A column has the name of such a field.
    """

    def __init__(
        self,
        table: str,
        columns: Sequence[str],
        converters: Sequence[Convert],
        *,
        key: Sequence[bool] = (),
        prefix: str = "",
    ) -> None:
        self.table = table
        self.columns = columns
        self._pairs = list(zip(columns, converters, strict=True))
        self._key = [name for name, is_key in zip(columns, key, strict=False) if is_key]
        self._op, self._table, self._change, self._lsn, self._time, self._old, self._unchanged = (
            prefix + name for name in FIELDS
        )
        taken = [name for name in columns if name in {prefix + field for field in FIELDS}]
        if taken:
            raise RefusedError(
                f"table {table} has a column {taken[0]!r}, and a record's field of this name describes the "
                "change; set `prefix: change_`, say, and these fields are named change_op and so on"
            )

    @classmethod
    def of(cls, relation: Relation, converters: Sequence[Convert], prefix: str) -> Records:
        """Create it for a table as the server describes it."""
        title = f"{relation.schema}.{relation.name}"
        return cls(title, relation.columns, converters, key=relation.key, prefix=prefix)

    def row(self, op: str, values: Sequence[bytes | None], when: When, place: str) -> dict[str, Any]:
        """
        Build the record of an existing row.

        Args:
            place: Its place among all changes, as text that sorts accordingly.
        """
        record = {
            name: None if value is None else convert(value)
            for (name, convert), value in zip(self._pairs, values, strict=True)
        }
        self._add_change(record, op, when, place)
        return record

    def change(self, change: Change, when: When, place: str) -> dict[str, Any]:
        """
        Build the record of a change.

        A long value that an update did not change is not sent. If the old row is known, the value is taken
        from there; otherwise the record lacks the field, and lists it as unchanged.
        """
        if change.new is None:
            record = self._values(change.old or [], key_alone=change.old_is_key)
            self._add_change(record, change.op, when, place)
            return record
        if change.old is None and UNCHANGED not in change.new:
            return self.row(change.op, change.new, when, place)  # type: ignore[arg-type]  # as checked above
        unchanged = [at for at, value in enumerate(change.new) if value is UNCHANGED]
        new, old = list(change.new), change.old
        if old is not None and not change.old_is_key:
            for at in unchanged:
                new[at] = old[at]
        record = self._values(new)
        self._add_change(record, change.op, when, place)
        if old is not None:
            record[self._old] = self._values(old, key_alone=change.old_is_key)
        missing = [self.columns[at] for at in unchanged if new[at] is UNCHANGED]
        if missing:
            record[self._unchanged] = missing
        return record

    def emptied(self, when: When, place: str) -> dict[str, Any]:
        """Build the record of a TRUNCATE."""
        record: dict[str, Any] = {}
        self._add_change(record, "truncate", when, place)
        return record

    def key(self, row: Sequence[bytes | Unchanged | None], names: Sequence[str]) -> list[str]:
        """Return the values of a key, as text."""
        at = {name: place for place, name in enumerate(self.columns)}
        values = [row[at[name]] for name in names]
        return [value.decode() if isinstance(value, bytes) else "" for value in values]

    def _values(self, row: Row, *, key_alone: bool = False) -> dict[str, Any]:
        return {
            name: convert(value) if isinstance(value, bytes) else None
            for (name, convert), value in zip(self._pairs, row, strict=True)
            if value is not UNCHANGED and not (key_alone and name not in self._key)
        }

    def _add_change(self, record: dict[str, Any], op: str, when: When, place: str) -> None:
        record[self._op] = op
        record[self._table] = self.table
        record[self._change] = place
        record[self._lsn] = when.lsn
        record[self._time] = when.time
