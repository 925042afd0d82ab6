"""Database: DuckDB in memory, which can read the files it is given and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = 512 * 2**20
"""Bytes that the database of a stage may use: its files, and what a query needs."""


class MissingExtraError(ImportError):
    """DuckDB is not installed."""


def duckdb() -> ModuleType:
    """
    Import DuckDB, which takes a while and is needed only where there is SQL.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import duckdb as library  # noqa: PLC0415
    except ImportError as exc:
        raise MissingExtraError(
            "`sql` needs a package that is not installed; pip install 'rsq-pipe[sql]'"
        ) from exc
    return library


def open_database(files: Iterable[Path] = (), memory: int = MEMORY) -> DuckDBPyConnection:
    """
    Open a database in memory that uses one thread, the caller's.

    Args:
        files: What it may read; nothing else, no network, no extensions, and nothing can be changed later.
        memory: Bytes it may use.

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
    """Write a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def named(name: str) -> str:
    """Write a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'
