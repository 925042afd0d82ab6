"""References: the files a query joins, read once per process and again when they change."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.sql.database import duckdb, named, quoted
from rsq_pipe.sql.rules import FILES
from rsq_pipe.sql.tree import SqlError, first_part
from rsq_pipe.suggestion import suggest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SAMPLE = 20_480
"""Rows from which the types of a file's columns are inferred in a check; otherwise all rows are used."""

_Stamp = tuple[int, int, int]


class ReferenceError_(SqlError):  # noqa: N801, N818  the built-in name is another thing
    """A file that cannot be read: `name` is its name in the query."""

    def __init__(self, name: str, what: str, fix: str) -> None:
        super().__init__(what, fix)
        self.name = name


def file_at(root: Path, name: str) -> Path:
    """Find a file of a query like all paths of a pipeline: relative to the project root."""
    return Path(os.path.realpath(root / name))


class References:
    """
    Keep the files of a query as tables, each under its name in the query.

    Thread-safe: the workers of a stage share them.

    Args:
        root: The base of relative paths.
        names: The files, as named in the query.
    """

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self._root = root
        self._names = names
        self._lock = threading.Lock()
        self._stamps: dict[str, _Stamp] = {}
        self._refused: dict[str, _Stamp | None] = {}
        self.version = 0
        """Counts the changes."""

    @property
    def files(self) -> list[Path]:
        """The paths of the files."""
        return [file_at(self._root, name) for name in self._names]

    def changed(self) -> bool:
        """Return whether a file is not the one that was read or refused before."""
        for name in self._names:
            stamp = _stamp(self._root / name)
            if stamp != self._stamps.get(name) and (
                name not in self._refused or stamp != self._refused[name]
            ):
                return True
        return False

    def refresh(self, connection: DuckDBPyConnection, *, stage: str = "", only_columns: bool = False) -> None:
        """
        Read files that are new or have changed.

        A changed file that cannot be read is logged once; its old rows stay.

        Args:
            stage: The stage's name, for the log.
            only_columns: Whether rows are left out: enough to check a query.

        Raises:
            ReferenceError_: A file cannot be read, and has not been read before.
        """
        if not self._names:
            return
        with self._lock:
            for name in self._names:
                self._refresh(connection, name, stage, only_columns=only_columns)

    def _refresh(self, connection: DuckDBPyConnection, name: str, stage: str, *, only_columns: bool) -> None:
        stamp, known = _stamp(self._root / name), self._stamps.get(name)
        if known and (stamp == known or self._refused.get(name, known) == stamp):
            return
        try:
            _load(connection, self._root, name, only_columns=only_columns)
        except ReferenceError_ as exc:
            if known is None:
                raise
            self._refused[name] = stamp
            # Here: the import takes 80 ms, and `validate` logs nothing.
            import structlog  # noqa: PLC0415

            log = structlog.get_logger("rsq_pipe")
            log.warning(
                "a reference file cannot be read; what it held before is used", stage=stage, error=str(exc)
            )
            return
        self._refused.pop(name, None)
        self._stamps[name] = stamp or (0, 0, 0)
        self.version += 1


def _load(connection: DuckDBPyConnection, root: Path, name: str, *, only_columns: bool) -> None:
    file = file_at(root, name)
    if not file.is_file():
        folder = (root / name).parent
        others = [
            str(Path(name).with_name(one.name))
            for one in (folder.iterdir() if folder.is_dir() else ())
            if one.name.lower().endswith(FILES)
        ]
        fix = suggest(name, others, otherwise=f"paths start at {root.name}/")
        raise ReferenceError_(name, f"there is no file {name!r}", fix)
    sample = _SAMPLE if only_columns else -1
    limit = " limit 0" if only_columns else ""
    try:
        connection.execute(
            f"create or replace table {named(name)} as select * from {_reader(file, name, sample)}{limit}"  # noqa: S608
        )
    except duckdb().OutOfMemoryException as exc:
        what = f"{name!r} takes more memory than the stage may use"
        raise ReferenceError_(name, what, "raise the stage's `memory`") from exc
    except (duckdb().Error, UnicodeError) as exc:
        raise ReferenceError_(
            name, f"{name!r} cannot be read: {first_part(str(exc))}", "correct the file"
        ) from exc


def _reader(file: Path, name: str, sample: int) -> str:
    path, ending = quoted(str(file)), name.lower().removesuffix(".gz").rpartition(".")[2]
    if ending == "parquet":
        return f"read_parquet({path})"
    if ending in {"jsonl", "ndjson"}:
        return f"read_json({path}, format = 'newline_delimited', sample_size = {sample})"
    # DuckDB would try others if a file is broken, and take half of it for one wide column.
    delimiter = "\t" if ending == "tsv" else ","
    form = f"header = true, delim = '{delimiter}', quote = '\"', escape = '\"'"
    return f"read_csv({path}, {form}, sample_size = {sample})"


def _stamp(file: Path) -> _Stamp | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
