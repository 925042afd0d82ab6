"""SqliteDatabase: a SQLite table, and the sink's row of the ledger next to it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import groupby
from math import isfinite
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.files.endpoints import FULL
from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.database import RowsError
from rsq_pipe.connectors.ledger.file_database import GONE, FileDatabase, Line, quoted
from rsq_pipe.connectors.ledger.json_text import as_text
from rsq_pipe.connectors.ledger.made_types import MadeTypes
from rsq_pipe.connectors.sink import TargetBusyError
from rsq_pipe.lock_holder import locked

_WAIT = 2.0
"""Seconds to wait for another process's transaction, each time."""

_PLAIN = frozenset((str, int, bool, type(None)))
_TEXTS = re.compile(r"^(?!.*INT).*(?:CHAR|CLOB|TEXT)", re.IGNORECASE)
"""Types of columns in which SQLite stores numbers as text."""
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
_REFUSALS = {
    sqlite3.SQLITE_NOTADB: "it is not an SQLite database; move it away, or name another file",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore a copy of it, or name another file",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened or created there; check the rights of the file and "
    "its folder, or name another file",
    sqlite3.SQLITE_READONLY: "the file may not be written; check its rights, and those of its folder, where "
    "SQLite creates another file",
}
"""SQLite's message -> the error, and what to do."""

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class SqliteDatabase(FileDatabase):
    """Write rows by INSERT, in one transaction with the ledger's row; one process at a time has one."""

    has_savepoints: ClassVar[bool] = True

    types: ClassVar[MadeTypes] = MadeTypes(
        *("integer", "integer", "integer", "real", "text", "text"), mixed=("real", "integer")
    )
    _open: sqlite3.Connection | None = None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Run the block as one transaction."""
        with self._undone("begin immediate", "commit", ["rollback"]):
            yield

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Run the block within a transaction so that, if it fails, only the block is rolled back."""
        with self._undone("savepoint trial", "release trial", ["rollback to trial", "release trial"]):
            yield

    def put(self, rows: Sequence[Line]) -> None:
        """Insert rows, or replace those with the same keys."""
        for columns, group in groupby(rows, key=itemgetter(0)):
            with self._faults():
                assert self._open is not None
                self._open.executemany(self._insert([one.name for one in columns]), [own for _, own in group])

    def close(self) -> None:
        """Close the file."""
        connection, self._open = self._open, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _open_file(self) -> None:
        with self._faults():
            # Threads take turns; each step runs in whichever is free.
            self._open = sqlite3.connect(
                self._path, timeout=_WAIT, isolation_level=None, check_same_thread=False
            )

    def _table_columns(self) -> Sequence[Column] | None:
        return _columns(self._run, self._options.table)

    def _line(self, columns: tuple[Column, ...], values: list[Any], record: Any) -> list[Any]:  # noqa: ARG002  any column holds any value
        return [
            value if type(value) in _PLAIN else _text(value, column)
            for column, value in zip(columns, values, strict=True)
        ]

    def _insert(self, names: Sequence[str]) -> str:
        marks = ", ".join("?" * len(names))
        return f"insert into {self._table} ({quoted(names)}) values ({marks}){self._on_conflict(names)}"  # noqa: S608

    def _run(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        with self._faults():
            assert self._open is not None
            return self._open.execute(sql, values)

    @contextmanager
    def _undone(self, begin: str, end: str, undo: Sequence[str]) -> Iterator[None]:
        self._run(begin)
        try:
            yield
            self._run(end)
        except BaseException:
            for sql in undo:
                with suppress(sqlite3.Error):
                    if self._open is not None and self._open.in_transaction:
                        self._open.execute(sql)
            raise

    def _locked(self) -> str:
        # A file in WAL mode is locked by way of the one beside it.
        return locked(f"is using {self._options.path}", self._path, Path(f"{self._path}-shm"))

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Translate SQLite's errors."""
        try:
            yield
        except OverflowError as exc:
            raise RowsError(
                "it holds a whole number of more than 64 bits, which SQLite does not have"
            ) from exc
        except (sqlite3.IntegrityError, sqlite3.DataError, UnicodeEncodeError) as exc:
            raise RowsError(str(exc)) from exc
        except sqlite3.Error as exc:
            code = getattr(exc, "sqlite_errorcode", 0)
            if code & 0xFF in _BUSY:
                raise TargetBusyError(self._locked()) from exc
            if code == sqlite3.SQLITE_READONLY_DBMOVED:
                raise RefusedError(GONE) from exc
            if code in _FULL:
                raise RefusedError(FULL) from exc
            raise RefusedError(_REFUSALS.get(code & 0xFF, str(exc))) from exc


def _columns(run: Callable[[str, Sequence[Any]], sqlite3.Cursor], table: str) -> list[Column] | None:
    """List the columns of a table; None if it does not exist."""
    found = run(f"pragma table_xinfo({quoted([table])})", ()).fetchall()
    keys = sum(bool(row[5]) for row in found)
    kinds = {kind for (kind,) in run("select type from sqlite_master where tbl_name = ?", [table]).fetchall()}
    columns = []
    for _, name, kind, not_null, default, key, hidden in found:
        # A primary key of whole numbers auto-increments.
        fills_itself = default is not None or bool(key and keys == 1 and kind.lower() == "integer")
        # Before a row is refused, a trigger may put it elsewhere.
        needs_value = bool(not_null) and not fills_itself and hidden <= 1 and "trigger" not in kinds
        column = Column(
            name, kind, fills_itself=fills_itself, is_computed=hidden > 1, needs_value=needs_value
        )
        columns.append(column)
    return columns or None


def read_columns(file: Path, table: str, seconds: float) -> Sequence[Column] | None:
    """List the columns of a table of an existing file, which is opened read-only; None if it has none."""
    with closing(_read_only(file, seconds)) as opened:
        return _columns(opened.execute, table)


def _read_only(file: Path, seconds: float) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=seconds)


def has_table(file: Path, table: str, seconds: float) -> bool:
    """
    Return whether an existing file has a table; sqlite3.Error if it is not a database.

    Changes nothing: the file is opened read-only.
    """
    with closing(_read_only(file, seconds)) as opened:
        found = opened.execute(
            "select 1 from sqlite_master where type in ('table', 'view') and name = ?", [table]
        )
        return found.fetchone() is not None


def _text(value: Any, column: Column) -> str | float:
    """Write what SQLite has no type for as text."""
    # SQLite would store NaN as null, and write a number into a column of text with 15 digits only.
    if type(value) is float and isfinite(value) and not _TEXTS.search(column.type):
        return value
    return as_text(value, column)
