"""Database: what all databases with a ledger have in common, in a file or on a server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NoReturn

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.ledger.columns import Column, Columns
from rsq_pipe.connectors.ledger.ledger import Row
from rsq_pipe.connectors.ledger.options import TableOptions
from rsq_pipe.connectors.record_id import named
from rsq_pipe.errors import EncodeError


class RowsError(Exception):
    """At least one of the rows cannot be written; the others may be fine."""


class Database(ABC):
    """
    Hold one connection to a database, one of its tables, and the sink's row of the ledger.

    Args:
        options: The sink's settings.
        table: The table, quoted.
        create: Whether the table is created if it does not exist.

    Attributes:
        has_savepoints: Whether `savepoint` can be used.

    Raises:
        RefusedError: In every method.
        TargetUnavailableError: In every method, if it is unreachable or too busy; the connection is dropped.
    """

    has_savepoints: ClassVar[bool]

    def __init__(self, options: TableOptions, *, table: str, create: bool) -> None:
        self._options = options
        self._table = table
        self._create = create
        self._columns: Columns | None = None
        self._found: Sequence[Column] = ()

    @abstractmethod
    def connect(self) -> None:
        """Open the connection, if there is none, and create the ledger if it does not exist."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Run the block as one transaction: an error rolls all of it back."""

    @abstractmethod
    def savepoint(self) -> AbstractContextManager[None]:
        """Run the block within a transaction so that, if it fails, only the block is rolled back."""

    @abstractmethod
    def row(self) -> Row | None:
        """Read the sink's row, and lock it until the transaction ends."""

    @abstractmethod
    def replace(self, row: Row) -> None:
        """Store the sink's row, whatever epoch is stored."""

    @abstractmethod
    def advance(self, row: Row) -> bool:
        """Store the sink's row if its epoch is still stored; False if another process has opened the sink."""

    @abstractmethod
    def ready(self, records: Sequence[Any]) -> None:
        """Create the table for records like these, if it is to be created; call it before a transaction."""

    @abstractmethod
    def put(self, rows: Sequence[Any]) -> None:
        """
        Write rows, in a transaction.

        Raises:
            RowsError: See there.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection; raises nothing."""

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
        """Convert records to the arguments of `put`, each at its place; report those that cannot be rows."""
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


class SharedDatabase(Database):
    """A database whose table several sinks write at the same time, each with its own row."""

    @abstractmethod
    def take(self, shard: int) -> None:
        """Use the row of this shard from now on."""

    @abstractmethod
    def is_writer(self) -> bool:
        """Return whether this connection was the last to open the row."""

    @abstractmethod
    def peers(self) -> Mapping[int, Row]:
        """Read the rows of all other shards there ever were; nothing is locked."""

    @abstractmethod
    def lock_all(self) -> Mapping[int, Row]:
        """
        Read the same rows, and lock them and the sink's own until the transaction ends, always in one order.

        The sessions of writers that are paused in a transaction are ended, after a time: they keep locks.
        """

    @abstractmethod
    def replace_peer(self, shard: int, row: Row) -> None:
        """Store the row of another shard, whatever epoch is stored."""


def _no_fields(record: Any) -> NoReturn:
    raise EncodeError("a row needs a record with fields", record)
