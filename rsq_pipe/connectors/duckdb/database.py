"""DuckDatabase: a table of DuckDB, and the sink's row of the ledger beside it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import duckdb
import msgspec

from rsq_pipe.connectors.endpoint import UnreachableError
from rsq_pipe.connectors.files.endpoints import FULL, make_folder
from rsq_pipe.connectors.ledger.columns import Column, Columns, made_columns
from rsq_pipe.connectors.ledger.database import RefusedError, RowsError
from rsq_pipe.connectors.ledger.ledger import Row
from rsq_pipe.connectors.ledger.options import LEDGER
from rsq_pipe.connectors.record_id import FIELD, named
from rsq_pipe.connectors.sink import TargetBusyError
from rsq_pipe.errors import EncodeError
from rsq_pipe.model.finite import not_finite
from rsq_pipe.streams.wording import unwritable

if TYPE_CHECKING:
    from rsq_pipe.connectors.duckdb.sink import Options

_LEDGER = (
    f"create table if not exists {LEDGER} (pipeline varchar, stage varchar, target varchar,"
    " epoch bigint not null, seq bigint not null, settled bigint not null,"
    " carried varchar not null, rids varchar not null, primary key (pipeline, stage, target))"
)
_INTEGERS = frozenset(
    f"{sign}{kind}" for sign in ("", "U") for kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
)
_json = msgspec.json.Encoder().encode

_Line = tuple[tuple[Column, ...], list[Any]]


class DuckDatabase:
    """
    Write rows by INSERT from JSON, in one transaction with the ledger's row; one process has the file.

    Args:
        path: The file.
        options: The sink's.
        owner: Pipeline, stage and table: whose row of the ledger it is.
    """

    has_savepoints: ClassVar[bool] = False

    def __init__(self, path: Path, options: Options, *, owner: tuple[str, str, str]) -> None:
        self._path = path
        self._options = options
        self._table = _quoted([options.table])
        self._owner = owner
        self._open: duckdb.DuckDBPyConnection | None = None
        self._columns: Columns | None = None

    def connect(self) -> None:
        """Open the file, and make the ledger where it is not there."""
        self.close()
        try:
            make_folder(self._path)
        except UnreachableError as exc:
            raise RefusedError(str(exc)) from exc
        with self._faults():
            self._open = duckdb.connect(str(self._path), config={"autoinstall_known_extensions": False})
            self._run(_LEDGER)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do something as a whole."""
        self._run("begin")
        try:
            yield
            self._run("commit")
        except BaseException:
            with suppress(duckdb.Error):
                if self._open is not None:
                    self._open.execute("rollback")
            raise

    def savepoint(self) -> NoReturn:
        """Nothing: see `has_savepoints`."""
        raise RefusedError("DuckDB has no savepoints")

    def row(self) -> Row | None:
        """Read the sink's row; no other process has the file."""
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
            " where (pipeline, stage, target) = (?, ?, ?) and epoch = ? returning 1",
            (row.seq, row.settled, row.carried, row.rids, *self._owner, row.epoch),
        )
        return len(changed.fetchall()) == 1

    def look(self) -> None:
        """Learn the columns of the table."""
        self._columns = None
        found: list[Any] = []
        if self._is_there():
            sql = "select name, type, dflt_value from pragma_table_info(?)"
            found = self._run(sql, [self._table]).fetchall()
        if not found and not self._options.create:
            raise RefusedError("the table does not exist; make it, or set `create: true`")
        if not found:
            return
        table = [Column(name, kind, fills_itself=default is not None) for name, kind, default in found]
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
        columns_of = self._columns.of if self._columns is not None else _no_fields
        for place, record in enumerate(records):
            try:
                shown = named(record, rids[place]) if self._options.rid else record
                columns, values = columns_of(shown)
                pairs = zip(columns, values, strict=True)
                rows.append((columns, [_value(value, column, record) for column, value in pairs]))
            except EncodeError as exc:
                failures[place] = exc
                rows.append(None)
        return rows, failures

    def put(self, rows: Sequence[_Line]) -> None:
        """Insert rows, or replace those of their keys."""
        for columns, group in groupby(rows, key=itemgetter(0)):
            values = [own for _, own in group]
            if self._options.mode == "upsert":
                values = self._newest(columns, values)
            with self._faults():
                self._run(self._insert(columns), [_json(values).decode()])

    def close(self) -> None:
        """Close the file."""
        connection, self._open = self._open, None
        if connection is not None:
            with suppress(duckdb.Error):
                connection.close()

    def _is_there(self) -> bool:
        found = self._run("select 1 from duckdb_tables() where table_name = ?", [self._options.table])
        return bool(found.fetchall())

    def _insert(self, columns: Sequence[Column]) -> str:
        options = self._options
        names = [one.name for one in columns]
        # By their places: a JSON key would have to be spelt as the column is.
        picked = ", ".join(_cast(place, one.type) for place, one in enumerate(columns))
        sql = (
            f"insert into {self._table} ({_quoted(names)}) select {picked}"  # noqa: S608
            " from (select unnest(from_json(?, '[[\"varchar\"]]')) as r)"
        )
        if options.mode == "append":
            return sql
        others = [_quoted([name]) for name in names if name not in options.key]
        action = f"update set {', '.join(f'{name} = excluded.{name}' for name in others)}"
        if options.version:
            own = _quoted([options.version])
            action += f" where {self._table}.{own} is null or excluded.{own} >= {self._table}.{own}"
        return f"{sql} on conflict ({_quoted(options.key)}) do {action if others else 'nothing'}"

    def _newest(self, columns: Sequence[Column], rows: Sequence[list[Any]]) -> list[list[Any]]:
        """Keep one row of each key, the newest: one statement cannot change a row twice."""
        places = {one.name: place for place, one in enumerate(columns)}
        version = places.get(self._options.version or "")
        found: dict[tuple[str, ...], list[Any]] = {}
        for row in rows:
            key = tuple(str(row[places[name]]) for name in self._options.key)
            last = found.get(key)
            if last is None or version is None or _is_newer(row[version], last[version]):
                found.pop(key, None)
                found[key] = row
        return list(found.values())

    def _made_for(self, records: Sequence[Any]) -> str:
        fields = made_columns(records, self._options.columns)
        if not fields:
            return ""
        parts = [
            f"{_quoted([name])} {_type([_kind(one.get(field)) for one in records if isinstance(one, dict)])}"
            for name, field in fields.items()
        ]
        if self._options.rid and FIELD not in fields:
            parts.insert(0, f"{_quoted([FIELD])} varchar")
        if self._options.key:
            parts.append(f"primary key ({_quoted(self._options.key)})")
        return f"create table {self._table} ({', '.join(parts)})"

    def _run(self, sql: str, values: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        with self._faults():
            assert self._open is not None
            return self._open.execute(sql, list(values))

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Sort out what DuckDB says."""
        try:
            yield
        except (duckdb.DataError, duckdb.IntegrityError, duckdb.InvalidInputException) as exc:
            raise RowsError(_said(exc)) from exc
        except duckdb.IOException as exc:
            if "lock" in str(exc):
                raise TargetBusyError("another process has the file open") from exc
            if _is_full(exc):
                raise RefusedError(FULL) from exc
            if "not a valid DuckDB" in str(exc):
                raise RefusedError("it is no DuckDB database; move it away, or name another file") from exc
            raise RefusedError(_said(exc)) from exc
        except duckdb.Error as exc:
            raise RefusedError(FULL if _is_full(exc) else _said(exc)) from exc


def _is_full(exc: duckdb.Error) -> bool:
    """Tell whether there is no room; DuckDB says so in the words of the system alone."""
    return any(os.strerror(number) in str(exc) for number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT))


def has_table(file: Path, table: str) -> bool:
    """Look whether a file that is there has a table; duckdb.Error where it is no database, or in use."""
    with duckdb.connect(str(file), read_only=True) as opened:
        return bool(opened.execute("select 1 from duckdb_tables() where table_name = ?", [table]).fetchall())


def _cast(place: int, kind: str) -> str:
    """Read a text as what a column holds; what is nested by way of JSON."""
    text = f"r[{place + 1}]"
    nested = kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))
    return f"cast({f'cast({text} as json)' if nested else text} as {kind})"


def _value(value: Any, column: Column, record: Any) -> Any:
    """Write a value as text; null stays null."""
    if value is None or type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if column.type in _INTEGERS and type(value) is float and not value.is_integer():
        # It would be rounded without a word.
        what = f"{value!r} is no whole number, and column {column.name!r} holds {column.type}"
        raise EncodeError(what, record)
    if type(value) is int:
        return str(value)
    try:
        if path := not_finite(value):
            raise EncodeError(f"{path} is not a finite number", value)
        text = _json(value).decode()
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise EncodeError(unwritable(value, _json, "JSON"), value) from exc
    return str(msgspec.json.decode(text)) if text.startswith('"') else text


def _is_newer(one: Any, other: Any) -> bool:
    """Compare two versions as they are written: numbers as numbers."""
    try:
        return float(one) >= float(other)
    except (TypeError, ValueError):
        return other is None or (one is not None and str(one) >= str(other))


def _quoted(names: Iterable[str]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)


def _no_fields(record: Any) -> NoReturn:
    raise EncodeError("a row needs a record with fields", record)


def _said(exc: Exception) -> str:
    return " ".join(str(exc).split())


def _kind(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "boolean"
        case int():
            return "bigint" if -(2**63) <= value < 2**63 else "hugeint"
        case float():
            return "double"
        case dict() | list() | tuple():
            return "json"
    return "varchar"


def _type(kinds: Iterable[str]) -> str:
    own = {kind for kind in kinds if kind}
    if len(own) == 1:
        return own.pop()
    return "double" if own and own <= {"bigint", "hugeint", "double"} else "varchar"
