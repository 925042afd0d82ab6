"""FileEndpoint: whether a sink for a database in a file can write its table there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rsq_pipe.connectors.endpoint import Endpoint, UnreachableError
from rsq_pipe.connectors.files.endpoints import check_writable
from rsq_pipe.connectors.ledger.options import FileOptions


def file_endpoint(
    options: FileOptions, root: Path, has_table: Callable[[Path, str, float], bool]
) -> Endpoint:
    """
    Return the table as an endpoint.

    Args:
        options: The sink's settings.
        root: The project root.
        has_table: Returns whether an existing file has a table; waits at most so many seconds.
    """
    file = root / options.path

    def reach(seconds: float) -> str:
        check_writable(file)
        if file.exists() and has_table(file, options.table, seconds):
            return ""
        if not options.create:
            raise UnreachableError(f"there is no table {options.table}; make it, or set `create: true`")
        return "the table will be created"

    return Endpoint(options.shown, reach)
