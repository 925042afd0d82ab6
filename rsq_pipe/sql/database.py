"""Database: DuckDB in memory, which can read the given files and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rsq_pipe.extras import install

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = 512 * 2**20
"""Maximum bytes of memory of a stage's database: its files, and the memory of its query."""


class MissingExtraError(ImportError):
    """DuckDB is not installed."""


def duckdb() -> ModuleType:
    """
    Import DuckDB, which takes a while and is needed only for SQL.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import duckdb as library  # noqa: PLC0415
    except ImportError as exc:
        raise MissingExtraError(f"`sql` needs a package that is not installed; {install('sql')}") from exc
    return library


def open_database(files: Iterable[Path] = (), memory: int = MEMORY) -> DuckDBPyConnection:
    """
    Open a database in memory that uses one thread, the caller's.

    Args:
        files: The files it may read; nothing else, no network, no extensions, and this cannot be changed
            later.
        memory: Maximum bytes of memory.

    Raises:
        MissingExtraError: DuckDB is not installed.
    """
    allowed: Any = ", ".join(quoted(str(file)) for file in files)
    connection: DuckDBPyConnection = duckdb().connect(":memory:")
    for setting in (
        "threads = 1",
        f"memory_limit = '{memory} B'",
        "temp_directory = ''",
        "TimeZone = 'UTC'",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        "python_enable_replacements = false",
        "enable_progress_bar = false",
        f"allowed_paths = [{allowed}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"set {setting}")
    return connection


def quoted(text: str) -> str:
    """Quote a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def named(name: str) -> str:
    """Quote a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
