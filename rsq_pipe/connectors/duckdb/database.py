"""DuckDatabase: a DuckDB table, and the sink's row of the ledger next to it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import duckdb

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.files.endpoints import FULL
from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.database import RowsError
from rsq_pipe.connectors.ledger.file_database import FileDatabase, Line, quoted
from rsq_pipe.connectors.ledger.json_text import as_text, encode
from rsq_pipe.connectors.ledger.made_types import MadeTypes
from rsq_pipe.connectors.ledger.whole_numbers import check_whole
from rsq_pipe.connectors.sink import TargetBusyError
from rsq_pipe.error_text import one_line
from rsq_pipe.lock_holder import locked

_INTEGERS = frozenset(
    f"{sign}{kind}" for sign in ("", "U") for kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
)


class DuckDatabase(FileDatabase):
    """Write rows by INSERT from JSON, in one transaction with the ledger's row; one process has the file."""

    has_savepoints: ClassVar[bool] = False

    types: ClassVar[MadeTypes] = MadeTypes(
        *("boolean", "bigint", "hugeint", "double", "json", "varchar"), mixed=("double", "hugeint")
    )
    _open: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Run the block in one transaction."""
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
        """Not available: see `has_savepoints`."""
        raise RefusedError("DuckDB has no savepoints")

    def put(self, rows: Sequence[Line]) -> None:
        """Insert rows, or replace those with the same keys."""
        for columns, group in groupby(rows, key=itemgetter(0)):
            values = [own for _, own in group]
            # One statement for all rows: DuckDB's `executemany` runs one for each, and slowly.
            with self._faults():
                self._run(self._insert(columns), [encode(values).decode()])

    def close(self) -> None:
        """Close the file."""
        connection, self._open = self._open, None
        if connection is not None:
            with suppress(duckdb.Error):
                connection.close()

    def _open_file(self) -> None:
        with self._faults():
            self._open = duckdb.connect(str(self._path), config={"autoinstall_known_extensions": False})

    def _table_columns(self) -> Sequence[Column] | None:
        return _columns(self._run, self._options.table)

    def _insert(self, columns: Sequence[Column]) -> str:
        names = [one.name for one in columns]
        # By position: a JSON key would have to be spelt like the column.
        cast = [_cast(place, one.type) for place, one in enumerate(columns)]
        rows = "(select unnest(from_json(?, '[[\"varchar\"]]')) as r)"
        picked = f"select {', '.join(cast)} from {rows}"  # noqa: S608
        if self._options.mode == "upsert":
            picked = self._newest(names, cast)
        return f"insert into {self._table} ({quoted(names)}) {picked}{self._on_conflict(names)}"

    def _newest(self, names: Sequence[str], cast: Sequence[str]) -> str:
        """
        Select one row of each key, the newest: one statement cannot change a row twice.

        DuckDB compares keys and versions as their columns do: `1` and `01`, or a moment in two zones.
        """
        options = self._options
        by = {name: f"c{place}" for place, name in enumerate(names)}
        version = f"{by[options.version]} desc, " if options.version in by else ""
        keys = ", ".join(by[key] for key in options.key)
        columns = ", ".join(f"{text} as {by[name]}" for name, text in zip(names, cast, strict=True))
        return (
            f"select {', '.join(by.values())} from (select distinct on ({keys}) * from"  # noqa: S608
            f" (select {columns}, place from (select unnest(l) as r, unnest(range(len(l))) as place"
            " from (select from_json(?, '[[\"varchar\"]]') as l)))"
            f" order by {keys}, {version}place desc) order by place"
        )

    def _line(self, columns: tuple[Column, ...], values: list[Any], record: Any) -> list[Any]:
        pairs = zip(columns, values, strict=True)
        return [_value(value, column, record) for column, value in pairs]

    def _run(self, sql: str, values: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        with self._faults():
            assert self._open is not None
            return self._open.execute(sql, list(values))

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Translate DuckDB's errors."""
        try:
            yield
        except (
            duckdb.DataError,
            duckdb.IntegrityError,
            duckdb.InvalidInputException,
            UnicodeEncodeError,  # half of a surrogate pair
        ) as exc:
            raise RowsError(one_line(exc)) from exc
        except duckdb.IOException as exc:
            if "lock" in str(exc):
                raise TargetBusyError(locked(f"has {self._options.path} open", self._path)) from exc
            if _is_full(exc):
                raise RefusedError(FULL) from exc
            if "not a valid DuckDB" in str(exc):
                raise RefusedError("it is not a DuckDB database; move it away, or name another file") from exc
            raise RefusedError(one_line(exc)) from exc
        except duckdb.Error as exc:
            raise RefusedError(FULL if _is_full(exc) else one_line(exc)) from exc


def _is_full(exc: duckdb.Error) -> bool:
    """Return whether the disk is full; DuckDB only passes on the system's own message."""
    return any(os.strerror(number) in str(exc) for number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT))


def _columns(
    run: Callable[[str, Sequence[Any]], duckdb.DuckDBPyConnection], table: str
) -> list[Column] | None:
    """List the columns of a table; None if it does not exist."""
    if run("select 1 from duckdb_views() where view_name = ?", [table]).fetchall():
        raise RefusedError("it is a view, which takes no rows; name a table")
    if not run("select 1 from duckdb_tables() where table_name = ?", [table]).fetchall():
        return None
    sql = (
        'select name, type, dflt_value is not null, "notnull", is_generated from pragma_table_info(?)'
        " join duckdb_columns() on column_name = name"
        " where table_name = ? and schema_name = current_schema() order by cid"
    )
    found = run(sql, [quoted([table]), table]).fetchall()
    return [
        Column(
            name,
            kind,
            fills_itself=has_default,
            is_computed=is_generated,
            needs_value=not_null and not has_default,
        )
        for name, kind, has_default, not_null, is_generated in found
    ]


def has_table(file: Path, table: str) -> bool:
    """Return whether an existing file has a table; duckdb.Error if it is not a database, or in use."""
    return read_columns(file, table) is not None


def read_columns(file: Path, table: str) -> Sequence[Column] | None:
    """List the columns of a table of an existing file; None if it has none; duckdb.Error as above."""
    with duckdb.connect(str(file), read_only=True) as opened:
        return _columns(opened.execute, table)


def _cast(place: int, kind: str) -> str:
    """Build the SQL that converts a text to a column's type; nested values by way of JSON."""
    text = f"r[{place + 1}]"
    nested = kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))
    return f"cast({f'cast({text} as json)' if nested else text} as {kind})"


def _value(value: Any, column: Column, record: Any) -> Any:
    """Convert a value to text; null stays null."""
    if column.type in _INTEGERS:
        check_whole(value, column, record)
    if value is None or type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    return as_text(value, column)
