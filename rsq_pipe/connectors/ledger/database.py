"""Database: the interface of databases for sinks with a ledger, and their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

from rsq_pipe.connectors.ledger.ledger import Row


class RowsError(Exception):
    """At least one of the rows cannot be written; the others may be fine."""


class Database(Protocol):
    """
    Hold one connection to a database, one of its tables, and the sink's row of the ledger.

    Attributes:
        has_savepoints: Whether `savepoint` can be used.

    Raises:
        RefusedError: In every method.
        TargetUnavailableError: In every method, if it is unreachable or too busy; the connection is dropped.
    """

    has_savepoints: ClassVar[bool]

    def connect(self) -> None:
        """Open the connection, if there is none, and create the ledger if it does not exist."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Run the block as one transaction: an error rolls all of it back."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Run the block within a transaction so that, if it fails, only the block is rolled back."""
        ...

    def row(self) -> Row | None:
        """Read the sink's row, and lock it until the transaction ends."""
        ...

    def replace(self, row: Row) -> None:
        """Store the sink's row, whatever epoch is stored."""
        ...

    def advance(self, row: Row) -> bool:
        """Store the sink's row if its epoch is still stored; False if another process has opened the sink."""
        ...

    def read_columns(self) -> None:
        """Read the columns of the table, if it exists."""
        ...

    def changed(self) -> bool:
        """Read the columns again, outside a transaction; return whether the table has others by now."""
        ...

    def is_empty(self) -> bool:
        """Return whether the table is empty or does not exist."""
        ...

    def empty(self) -> None:
        """Delete everything in the table."""
        ...

    def ready(self, records: Sequence[Any]) -> None:
        """Create the table for records like these, if it is to be created; call it before a transaction."""
        ...

    def rows(self, records: Sequence[Any], rids: Sequence[str]) -> tuple[Sequence[Any], dict[int, Exception]]:
        """Convert records to the arguments of `put`, each at its place; report those that cannot be rows."""
        ...

    def put(self, rows: Sequence[Any]) -> None:
        """
        Write rows, in a transaction.

        Raises:
            RowsError: See there.
        """
        ...

    def close(self) -> None:
        """Close the connection; raises nothing."""
        ...


class SharedDatabase(Database, Protocol):
    """A database whose table several sinks write at the same time, each with its own row."""

    def take(self, shard: int) -> None:
        """Use the row of this shard from now on."""
        ...

    def is_writer(self) -> bool:
        """Return whether this connection was the last to open the row."""
        ...

    def peers(self) -> Mapping[int, Row]:
        """Read the rows of all other shards there ever were; nothing is locked."""
        ...

    def lock_all(self) -> Mapping[int, Row]:
        """
        Read the same rows, and lock them and the sink's own until the transaction ends, always in one order.

        The sessions of writers that are paused in a transaction are ended, after a time: they keep locks.
        """
        ...

    def replace_peer(self, shard: int, row: Row) -> None:
        """Store the row of another shard, whatever epoch is stored."""
        ...
