"""TableDatabase: the common part of all databases with a ledger, in a file or on a server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NoReturn

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.ledger.columns import Column, Columns
from rsq_pipe.connectors.ledger.options import TableOptions
from rsq_pipe.connectors.record_id import named
from rsq_pipe.errors import EncodeError


class TableDatabase(ABC):
    """
    Hold a table, and its columns once they are known.

    Args:
        options: The sink's settings.
        table: The table, quoted.
        create: Whether the table is created if it does not exist.
    """

    def __init__(self, options: TableOptions, *, table: str, create: bool) -> None:
        self._options = options
        self._table = table
        self._create = create
        self._columns: Columns | None = None
        self._found: Sequence[Column] = ()

    @abstractmethod
    def _fetch(self, sql: str) -> Sequence[Any]:
        """Run a statement and return its rows, if it has any."""

    @abstractmethod
    def _table_columns(self) -> Sequence[Column] | None:
        """List the columns of the table; None if it does not exist."""

    @abstractmethod
    def _line(self, columns: tuple[Column, ...], values: list[Any], record: Any) -> Any:
        """Convert a record's values to the arguments of `put`; EncodeError if that is impossible."""

    def read_columns(self) -> None:
        """Read the columns of the table."""
        self._columns = None
        found = self._table_columns()
        if found is None and not self._create:
            raise RefusedError("the table does not exist; make it, or set `create: true`")
        if found is not None:
            self._learn(found)

    def changed(self) -> bool:
        """Read the columns again, outside a transaction; return whether the table has others by now."""
        found = self._table_columns() if self._columns is not None else None
        if not found or list(found) == list(self._found):
            return False
        self._learn(found)
        return True

    def is_empty(self) -> bool:
        """Return whether the table is empty or does not exist."""
        return self._columns is None or not self._fetch(f"select 1 from {self._table} limit 1")  # noqa: S608  quoted

    def empty(self) -> None:
        """Delete everything in the table."""
        if self._columns is not None:
            self._fetch(f"delete from {self._table}")  # noqa: S608  quoted

    def rows(self, records: Sequence[Any], rids: Sequence[str]) -> tuple[Sequence[Any], dict[int, Exception]]:
        """Convert records one by one, each with the columns it fills."""
        rows: list[tuple[tuple[Column, ...], Any] | None] = []
        failures: dict[int, Exception] = {}
        # Without columns, no record had a field for which the table could have been created.
        columns_of = self._columns.of if self._columns is not None else _no_fields
        for place, record in enumerate(records):
            try:
                shown = named(record, rids[place]) if self._options.rid else record
                columns, values = columns_of(shown)
                rows.append((columns, self._line(columns, values, record)))
            except EncodeError as exc:
                failures[place] = exc
                rows.append(None)
        return rows, failures

    def _learn(self, table: Sequence[Column]) -> None:
        self._columns = self._options.columns_of(table)
        self._found = table


def _no_fields(record: Any) -> NoReturn:
    raise EncodeError("a row needs a record with fields", record)
