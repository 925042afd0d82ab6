"""ServerDatabase: the common part of sinks for databases on servers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.database import Database
from rsq_pipe.connectors.ledger.ledger import Row
from rsq_pipe.connectors.ledger.server_options import ServerOptions

Line = tuple[tuple[Column, ...], str]
"""The columns that a record fills, and their values as text."""

OWN = "pipeline = %s and stage = %s and target = %s"
"""The condition for a row of the ledger."""

NEW_ROW = (
    "(pipeline, stage, target, epoch, seq, settled, carried, rids) values (%s, %s, %s, 0, 0, 0, '[]', '[]')"
)
"""What is inserted into the ledger for a sink that has not written yet."""


class ServerConnection(Protocol):
    """A connection to a server, whose methods raise RowsError, RefusedError or TargetUnavailableError."""

    def execute(self, sql: str, values: Sequence[Any] = ...) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows, if it has any."""
        ...

    def count(self, sql: str, values: Sequence[Any]) -> int:
        """Run a statement and return how many rows it changed."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Run the block within a transaction; if it fails, none of it is done, and the rest stays."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...


class ServerDatabase(Database):
    """
    Hold a table of a server, and the sink's row of the ledger next to it.

    Left to each database: how it creates the ledger and the table, how it ends the session of a former
    writer, and how it writes rows. The servers have nothing in common there.

    Args:
        options: The sink's settings.
        connection: The connection, not yet opened.
        owner: Pipeline and stage: the owner of the ledger's row.
        quoted: Quotes the name of a table.
    """

    has_savepoints: ClassVar[bool] = True
    noted: ClassVar[str] = ""
    """The assignment that notes when a row of the ledger is stored, if the server does not do so itself."""

    _options: ServerOptions
    _connection: ServerConnection

    def __init__(
        self,
        options: ServerOptions,
        connection: ServerConnection,
        *,
        owner: tuple[str, str],
        quoted: Callable[[str], str],
    ) -> None:
        super().__init__(options, table=quoted(options.table), create=options.create)
        self._connection = connection
        self._ledger = quoted(options.ledger_table)
        self._owner = owner
        self._key = [*owner, options.table]

    @abstractmethod
    def _lines_at_once(self, columns: Sequence[Column], values: Sequence[Sequence[Any]]) -> list[str] | None:
        """Format rows, given by columns; None if they have to be formatted one by one."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Run the block within a transaction so that, if it fails, only the block is rolled back."""
        return self._connection.savepoint()

    def replace(self, row: Row) -> None:
        """Store the sink's row."""
        self._store(row)

    def advance(self, row: Row) -> bool:
        """Store the sink's row, if the stored epoch is still this row's."""
        return self._store(row, condition=f" and epoch = {row.epoch}")

    def rows(self, records: Sequence[Any], rids: Sequence[str]) -> tuple[Sequence[Any], dict[int, Exception]]:
        """Format records as text, each with the columns it fills."""
        columns = self._columns
        plain = columns.plain(records, with_rid=self._options.rid) if columns and records else None
        if plain is not None:
            filled, fields = plain
            lines = self._lines_at_once(filled, [[record[name] for record in records] for name in fields])
            if lines is not None:
                return [(filled, text) for text in lines], {}
        return super().rows(records, rids)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _fetch(self, sql: str) -> Sequence[Any]:
        return self._connection.execute(sql)

    def _locked_row(self) -> Row | None:
        found = self._connection.execute(
            f"select epoch, seq, settled, carried, rids from {self._ledger} where {OWN} for update",  # noqa: S608
            self._key,
        )
        return Row(*found[0]) if found else None

    def _store(self, row: Row, more: str = "", *, condition: str = "", key: Sequence[str] = ()) -> bool:
        """Store a row of the ledger, the sink's own by default; return whether it exists and was stored."""
        changed = self._connection.count(
            f"update {self._ledger} set epoch = %s, seq = %s, settled = %s, carried = %s, rids = %s"  # noqa: S608
            f"{self.noted}{more} where {OWN}{condition}",
            [row.epoch, row.seq, row.settled, row.carried, row.rids, *(key or self._key)],
        )
        return changed == 1


def no_ledger(exc: Exception, statement: str) -> RefusedError:
    """Say that the ledger cannot be created, and with which statement somebody else can do it."""
    return RefusedError(f"the ledger cannot be created: {exc}; or have it created: {statement}")
