"""Database: what a sink by the ledger asks of a database, and the errors it tells apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

from rsq_pipe.connectors.ledger.ledger import Row


class RefusedError(Exception):
    """The database refuses, and will until somebody mends it: a table that is not there, say."""


class RowsError(Exception):
    """One of the rows at least cannot be written; the others may be."""


class Database(Protocol):
    """
    Hold one connection to a database, a table of it, and the sink's row of the ledger.

    Raises:
        RefusedError: In every method.
        TargetUnavailableError: Likewise, where it is away or too busy; the connection is given up.

    has_savepoints: Whether `savepoint` can be used.
    """

    has_savepoints: ClassVar[bool]

    def connect(self) -> None:
        """Open the connection, where there is none, and make the ledger where it is not there."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Do something as a whole: an error takes all of it back."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Do something within a transaction that is taken back alone if it fails."""
        ...

    def row(self) -> Row | None:
        """Read the sink's row, and lock it until the transaction ends."""
        ...

    def replace(self, row: Row) -> None:
        """Store the sink's row under whatever epoch."""
        ...

    def advance(self, row: Row) -> bool:
        """Store the sink's row if its epoch is the row's; False where another process has opened the sink."""
        ...

    def look(self) -> None:
        """Learn the columns of the table, if there is one."""
        ...

    def is_empty(self) -> bool:
        """Tell whether the table holds nothing, or is not there."""
        ...

    def empty(self) -> None:
        """Delete all that the table holds."""
        ...

    def ready(self, records: Sequence[Any]) -> None:
        """Make the table for records like these, where it is to be made; before a transaction."""
        ...

    def rows(self, records: Sequence[Any], rids: Sequence[str]) -> tuple[Sequence[Any], dict[int, Exception]]:
        """Turn records into what `put` takes, each at its place; tell of those that are no rows."""
        ...

    def put(self, rows: Sequence[Any]) -> None:
        """
        Write rows, in a transaction.

        Raises:
            RowsError: As it says.
        """
        ...

    def close(self) -> None:
        """Let go of the connection; raises nothing."""
        ...


class SharedDatabase(Database, Protocol):
    """One whose table several sinks write at a time, each with a row of its own."""

    def take(self, shard: int) -> None:
        """Use the row of this shard from now on."""
        ...

    def is_writer(self) -> bool:
        """Tell whether this is the connection that opened the row last."""
        ...

    def peers(self) -> Mapping[int, Row]:
        """Read the rows of all other shards there ever were; nothing is locked."""
        ...

    def lock_all(self, *, end_sessions: bool) -> Mapping[int, Row]:
        """
        Read the same, and lock them and the sink's own until the transaction ends, always in one order.

        Args:
            end_sessions: Whether the sessions of their writers are ended first: one may be paused in a
                transaction, and keeps its locks for as long as it sleeps.
        """
        ...

    def replace_peer(self, shard: int, row: Row) -> None:
        """Store the row of another shard under whatever epoch."""
        ...
