"""FileDatabase: the common part of sinks for databases in files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol

from rsq_pipe.connectors.endpoint import RefusedError, UnreachableError
from rsq_pipe.connectors.files.endpoints import make_folder
from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.database import Database
from rsq_pipe.connectors.ledger.ledger import Row
from rsq_pipe.connectors.ledger.made_types import MadeTypes, definitions
from rsq_pipe.connectors.ledger.options import LEDGER, FileOptions

Line = tuple[tuple[Column, ...], list[Any]]
"""The columns that a record fills, and their values."""


GONE = (
    "the file was moved, deleted or replaced while the stage wrote it; put it back, or run with --fresh, "
    "which writes all records again"
)


class Found(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""
        ...

    def fetchone(self) -> Any:
        """Return one row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all rows."""
        ...


class FileDatabase(Database):
    """
    Hold a table of a file, and the sink's row of the ledger next to it.

    Args:
        path: The file.
        options: The sink's settings.
        owner: Pipeline, stage and table: the owner of the ledger's row.
    """

    types: ClassVar[MadeTypes]
    _options: FileOptions
    _file: tuple[int, int] | None = None

    def __init__(self, path: Path, options: FileOptions, *, owner: tuple[str, str, str]) -> None:
        super().__init__(options, table=quoted([options.table]), create=options.create)
        self._path = path
        self._owner = owner

    def connect(self) -> None:
        """Open the file, and create the ledger if it does not exist."""
        text, whole = self.types.text, self.types.whole
        self.close()
        self._make_folder()
        self._open_file()
        self._run(
            f"create table if not exists {LEDGER} (pipeline {text}, stage {text}, target {text},"
            f" epoch {whole} not null, seq {whole} not null, settled {whole} not null,"
            f" carried {text} not null, rids {text} not null, primary key (pipeline, stage, target))"
        )
        self._note_file()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one transaction, on the file that was opened."""
        self._check_file()
        with self._transaction():
            yield
        self._check_file()

    @abstractmethod
    def _open_file(self) -> None:
        """Open the file, and create it if it does not exist."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[None]:
        """Run the block as one transaction."""

    @abstractmethod
    def _run(self, sql: str, values: Sequence[Any] = ()) -> Found:
        """Run a statement; RefusedError, RowsError or TargetBusyError if it fails."""

    def row(self) -> Row | None:
        """Read the sink's row; no other process writes the file during the transaction."""
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
        """Store the sink's row, if the stored epoch is still this row's."""
        changed = self._run(
            f"update {LEDGER} set seq = ?, settled = ?, carried = ?, rids = ?"  # noqa: S608
            " where (pipeline, stage, target) = (?, ?, ?) and epoch = ?",
            (row.seq, row.settled, row.carried, row.rids, *self._owner, row.epoch),
        )
        return changed.rowcount == 1

    def ready(self, records: Sequence[Any]) -> None:
        """Create the table for records like these, if it does not exist."""
        if self._columns is None and (sql := self._made_for(records)):
            with self.transaction():
                self._run(sql)
                self.read_columns()

    def _fetch(self, sql: str) -> Sequence[Any]:
        return self._run(sql).fetchall()

    def _learn(self, table: Sequence[Column]) -> None:
        super()._learn(table)
        self._check_insert([one.name for one in table if not one.is_computed])

    def _check_insert(self, names: Sequence[str]) -> None:
        """Have the database plan an insert: it refuses a view, and a key that no unique index serves."""
        columns, key = quoted(self._options.columns or names), ", ".join(self._options.key)
        sql = f"insert into {self._table} ({columns}) select {columns} from {self._table} where false"  # noqa: S608
        try:
            self._run(f"explain {sql}{self._on_conflict(list(self._options.columns or names))}")
        except RefusedError as exc:
            if "CONFLICT" not in str(exc).upper():
                raise RefusedError(f"{exc}; name a table that takes rows, or correct `columns`") from exc
            what = f"`mode: upsert` needs a unique index on exactly the columns of `key`: {key}"
            raise RefusedError(f"{what}; make one, or correct `key`") from exc

    def _note_file(self) -> None:
        """Note which file was opened."""
        self._file = identity(self._path)

    def _check_file(self) -> None:
        """Refuse to write where nobody would find it: neither SQLite nor DuckDB looks at the path again."""
        if identity(self._path) != self._file:
            raise RefusedError(GONE)

    def _make_folder(self) -> None:
        try:
            make_folder(self._path)
        except UnreachableError as exc:
            raise RefusedError(str(exc)) from exc

    def _on_conflict(self, names: Sequence[str]) -> str:
        """Return the end of an INSERT of these columns: the action for a row that already has the key."""
        options = self._options
        if options.mode == "append":
            return ""
        others = [quoted([name]) for name in names if name not in options.key]
        action = f"update set {', '.join(f'{name} = excluded.{name}' for name in others)}"
        if options.version:
            own = quoted([options.version])
            action += f" where {self._table}.{own} is null or excluded.{own} >= {self._table}.{own}"
        return f" on conflict ({quoted(options.key)}) do {action if others else 'nothing'}"

    def _made_for(self, records: Sequence[Any]) -> str:
        types = self.types.of(records, self._options.columns, rid=self._options.rid)
        if not types:
            return ""
        return f"create table {self._table} ({definitions(types, self._options.key, quoted)})"


def identity(path: Path) -> tuple[int, int] | None:
    """Return what distinguishes a file from another at the same path; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def quoted(names: Iterable[str]) -> str:
    """Quote the names of columns or of a table, separated by commas."""
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)
