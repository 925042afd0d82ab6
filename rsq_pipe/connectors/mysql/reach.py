"""Reach: whether a server of MySQL's kind lets us in and has a table."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.connectors.endpoint import UnreachableError
from rsq_pipe.connectors.mysql.catalog import exists
from rsq_pipe.connectors.mysql.connection import Connection
from rsq_pipe.connectors.mysql.options import Options


def reach_table(options: Options, root: Path, seconds: float) -> str:
    """
    Connect, and look at the table; nothing is changed.

    Raises:
        RefusedError, TargetUnavailableError: It cannot be connected to.
        UnreachableError: The table is not there.
    """
    connection = Connection(options, root, seconds)
    try:
        connection.open()
        if exists(connection, options.table):
            return ""
        if options.create:
            return "the table is to be made"
        raise UnreachableError(f"there is no table {options.table}; make it, or set `create: true`")
    finally:
        connection.close()
