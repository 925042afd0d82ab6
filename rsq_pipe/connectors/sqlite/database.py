"""SqliteDatabase: a table of SQLite, and the sink's row of the ledger beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import groupby
from math import isfinite
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import msgspec

from rsq_pipe.connectors.endpoint import UnreachableError
from rsq_pipe.connectors.files.endpoints import FULL, make_folder
from rsq_pipe.connectors.ledger.columns import Column, Columns, made_columns
from rsq_pipe.connectors.ledger.database import RefusedError, RowsError
from rsq_pipe.connectors.ledger.ledger import Row
from rsq_pipe.connectors.ledger.options import LEDGER, TableOptions
from rsq_pipe.connectors.record_id import FIELD, named
from rsq_pipe.connectors.sink import TargetBusyError
from rsq_pipe.errors import EncodeError
from rsq_pipe.model.finite import not_finite
from rsq_pipe.streams.wording import unwritable

_LEDGER = (
    f"create table if not exists {LEDGER} (pipeline text, stage text, target text,"
    " epoch integer not null, seq integer not null, settled integer not null,"
    " carried text not null, rids text not null, primary key (pipeline, stage, target))"
)
_WAIT = 2.0
"""Seconds to wait for another process's transaction, at a time."""

_PLAIN = frozenset((str, int, bool, type(None)))
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_json = msgspec.json.Encoder().encode

_Line = tuple[tuple[Column, ...], tuple[Any, ...]]


class SqliteDatabase:
    """
    Write rows by INSERT, in one transaction with the ledger's row; one process at a time is in one.

    Args:
        path: The file.
        table: The table.
        options: The sink's.
        create: Whether to make the table.
        owner: Pipeline, stage and table: whose row of the ledger it is.
    """

    has_savepoints: ClassVar[bool] = True

    def __init__(
        self, path: Path, table: str, options: TableOptions, *, create: bool, owner: tuple[str, str, str]
    ) -> None:
        self._path = path
        self._name = table
        self._table = _quoted([table])
        self._options = options
        self._create = create
        self._owner = owner
        self._open: sqlite3.Connection | None = None
        self._columns: Columns | None = None

    def connect(self) -> None:
        """Open the file, and make the ledger where it is not there."""
        self.close()
        try:
            make_folder(self._path)
        except UnreachableError as exc:
            raise RefusedError(str(exc)) from exc
        with self._faults():
            # Threads take turns; each step is made in whichever is free.
            self._open = sqlite3.connect(
                self._path, timeout=_WAIT, isolation_level=None, check_same_thread=False
            )
            self._run(_LEDGER)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do something as a whole."""
        with self._undone("begin immediate", "commit", ["rollback"]):
            yield

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Do something within a transaction that is taken back alone if it fails."""
        with self._undone("savepoint trial", "release trial", ["rollback to trial", "release trial"]):
            yield

    def row(self) -> Row | None:
        """Read the sink's row; the transaction has locked the file."""
        found = self._run(
            f"select epoch, seq, settled, carried, rids from {LEDGER}"  # noqa: S608
            " where (pipeline, stage, target) = (?, ?, ?)",
            self._owner,
        ).fetchone()
        return Row(*found) if found else None

    def replace(self, row: Row) -> None:
        """Store the sink's row."""
        self._run(
            f"insert or replace into {LEDGER} values (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (*self._owner, row.epoch, row.seq, row.settled, row.carried, row.rids),
        )

    def advance(self, row: Row) -> bool:
        """Store the sink's row, if its epoch is still the row's."""
        changed = self._run(
            f"update {LEDGER} set seq = ?, settled = ?, carried = ?, rids = ?"  # noqa: S608
            " where (pipeline, stage, target) = (?, ?, ?) and epoch = ?",
            (row.seq, row.settled, row.carried, row.rids, *self._owner, row.epoch),
        )
        return changed.rowcount == 1

    def look(self) -> None:
        """Learn the columns of the table."""
        self._columns = None
        found = self._run(f"pragma table_xinfo({self._table})").fetchall()
        if not found and not self._create:
            raise RefusedError("the table does not exist; make it, or set `create: true`")
        if not found:
            return
        keys = sum(bool(row[5]) for row in found)
        table = [
            Column(
                name,
                kind,
                # A primary key of whole numbers counts up.
                fills_itself=default is not None or (key and keys == 1 and kind.lower() == "integer"),
                is_computed=hidden > 1,
            )
            for _, name, kind, _, default, key, hidden in found
        ]
        self._columns = self._options.columns_of(table)

    def is_empty(self) -> bool:
        """Tell whether the table holds nothing, or is not there."""
        return self._columns is None or not self._run(f"select 1 from {self._table} limit 1").fetchall()  # noqa: S608

    def empty(self) -> None:
        """Delete all that the table holds."""
        if self._columns is not None:
            self._run(f"delete from {self._table}")  # noqa: S608

    def ready(self, records: Sequence[Any]) -> None:
        """Make the table for records like these, if it is not there."""
        if self._columns is None and (sql := self._made_for(records)):
            with self.transaction():
                self._run(sql)
                self.look()

    def rows(self, records: Sequence[Any], rids: Sequence[str]) -> tuple[Sequence[Any], dict[int, Exception]]:
        """Take the values of records, each with the columns that it fills."""
        rows: list[_Line | None] = []
        failures: dict[int, Exception] = {}
        # Without columns no record had a field that the table could have been made for.
        columns_of = self._columns.of if self._columns is not None else _no_fields
        for place, record in enumerate(records):
            try:
                shown = named(record, rids[place]) if self._options.rid else record
                columns, values = columns_of(shown)
                rows.append((columns, tuple([v if type(v) in _PLAIN else _text(v) for v in values])))
            except EncodeError as exc:
                failures[place] = exc
                rows.append(None)
        return rows, failures

    def put(self, rows: Sequence[_Line]) -> None:
        """Insert rows, or replace those of their keys."""
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

    def _insert(self, names: Sequence[str]) -> str:
        options = self._options
        marks = ", ".join("?" * len(names))
        sql = f"insert into {self._table} ({_quoted(names)}) values ({marks})"  # noqa: S608
        if options.mode == "append":
            return sql
        others = [_quoted([name]) for name in names if name not in options.key]
        action = f"update set {', '.join(f'{name} = excluded.{name}' for name in others)}"
        if options.version:
            own = _quoted([options.version])
            action += f" where {self._table}.{own} is null or excluded.{own} >= {self._table}.{own}"
        return f"{sql} on conflict ({_quoted(options.key)}) do {action if others else 'nothing'}"

    def _made_for(self, records: Sequence[Any]) -> str:
        fields = made_columns(records, self._options.columns)
        if not fields:
            return ""
        parts = [
            f"{_quoted([name])} {_type([_kind(one.get(field)) for one in records if isinstance(one, dict)])}"
            for name, field in fields.items()
        ]
        if self._options.rid and FIELD not in fields:
            parts.insert(0, f"{_quoted([FIELD])} text")
        if self._options.key:
            parts.append(f"primary key ({_quoted(self._options.key)})")
        return f"create table {self._table} ({', '.join(parts)})"

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

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Sort out what SQLite says."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.DataError, OverflowError, UnicodeEncodeError) as exc:
            raise RowsError(str(exc)) from exc
        except sqlite3.Error as exc:
            if getattr(exc, "sqlite_errorcode", 0) & 0xFF in _BUSY:
                raise TargetBusyError("another process is writing the file") from exc
            if getattr(exc, "sqlite_errorcode", 0) in _FULL:
                raise RefusedError(FULL) from exc
            if getattr(exc, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
                raise RefusedError("it is no SQLite database; move it away, or name another file") from exc
            raise RefusedError(str(exc)) from exc


def has_table(file: Path, table: str, seconds: float) -> bool:
    """
    Look whether a file that is there has a table; sqlite3.Error where it is no database.

    Changes nothing: opened to be read alone.
    """
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=seconds)) as opened:
        found = opened.execute(
            "select 1 from sqlite_master where type in ('table', 'view') and name = ?", [table]
        )
        return found.fetchone() is not None


def _quoted(names: Iterable[str]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)


def _no_fields(record: Any) -> NoReturn:
    raise EncodeError("a row needs a record with fields", record)


def _text(value: Any) -> str | float:
    """Write what SQLite has no type for as JSON; dates and their like without its quotes."""
    if type(value) is float and isfinite(value):  # it would store NaN as null
        return value
    try:
        if path := not_finite(value):
            raise EncodeError(f"{path} is not a finite number", value)
        text = _json(value).decode()
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise EncodeError(unwritable(value, _json, "JSON"), value) from exc
    return str(msgspec.json.decode(text)) if text.startswith('"') else text


def _kind(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool() | int():
            return "integer"
        case float():
            return "real"
    return "text"


def _type(kinds: Iterable[str]) -> str:
    own = {kind for kind in kinds if kind}
    if own == {"integer", "real"}:
        return "real"
    return own.pop() if len(own) == 1 else "text"
