"""Reach: whether a PostgreSQL server accepts our login, has a table, and grants the rights we need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rsq_pipe.connectors.endpoint import RefusedError, UnreachableError
from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.postgres.catalog import check_key, check_kind, columns_of, exists
from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres.names import quoted


def reach_table(
    dsn: str,
    table: str,
    right: Literal["select", "insert"],
    seconds: float,
    *,
    create: bool = False,
    key: Sequence[str] = (),
) -> str:
    """
    Connect, and check the table; nothing is changed.

    Args:
        create: Whether it is created if it does not exist.
        key: The columns by which rows are replaced; empty if none are.

    Raises:
        RefusedError, RowsError, TargetUnavailableError: The connection fails.
        UnreachableError: The table does not exist, or cannot be used.
    """
    with Connection(dsn, seconds).opened() as connection:
        if not exists(connection, table):
            if create:
                return "the table will be created"
            fix = "make it, or set `create: true`" if right == "insert" else "check its name"
            raise UnreachableError(f"there is no table {table}; {fix}")
        may = connection.execute("select has_table_privilege(to_regclass(%s), %s)", [quoted(table), right])
        if may != [(True,)]:
            user = connection.execute("select current_user")[0][0]
            raise UnreachableError(
                f"{user} may not {right} there; grant it: grant {right} on {table} to {user}"
            )
        if right == "insert":
            check_kind(connection, table, copies=not key)
        if key:
            check_key(connection, table, key)
    return ""


def read_columns(dsn: str, table: str, seconds: float) -> Sequence[Column] | None:
    """
    Connect, and list the columns of a table; None if it does not exist.

    Raises:
        RefusedError, RowsError, TargetUnavailableError: The connection fails.
    """
    with Connection(dsn, seconds).opened() as connection:
        return columns_of(connection, table)


def query_columns(dsn: str, query: str, seconds: float) -> list[str]:
    """
    Connect, and list the columns of a query, which is not run.

    Raises:
        RefusedError, RowsError, TargetUnavailableError: The connection fails, or the query does not fit.
    """
    with Connection(dsn, seconds).opened() as connection:
        return connection.described(query)


def reach_query(dsn: str, query: str, seconds: float) -> None:
    """
    Connect, and let the server parse a query without running it.

    Raises:
        RefusedError, RowsError, TargetUnavailableError: The connection fails.
        UnreachableError: The query does not fit the database.
    """
    try:
        with Connection(dsn, seconds).opened() as connection:
            connection.execute(f"prepare rsq_pipe_reach as {query}")
    except RefusedError as exc:
        raise UnreachableError(str(exc) if ";" in str(exc) else f"{exc}; check `query`") from exc
