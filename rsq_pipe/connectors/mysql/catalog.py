"""Catalog: checks whether MySQL has a table, lists its columns, and creates a table for records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rsq_pipe.connectors.endpoint import RefusedError, UnreachableError
from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.made_types import MadeTypes, check_names, definitions
from rsq_pipe.connectors.mysql.connection import Connection
from rsq_pipe.connectors.mysql.options import LONGEST, Options

_WHERE = "where table_schema = coalesce(%s, database()) and table_name = %s"
_TRIGGERS = (
    "select 1 from information_schema.triggers where event_object_schema = coalesce(%s, database())"
    " and event_object_table = %s and action_timing = 'BEFORE' and event_manipulation = 'INSERT'"
)
_JSON = re.compile(r"json_valid\(`((?:[^`]|``)+)`\)", re.IGNORECASE)
TYPES = MadeTypes(
    *("boolean", "bigint", "decimal(65, 0)", "double", "json", "longtext"), mixed=("double", "decimal(65, 0)")
)


def exists(connection: Connection, table: str) -> bool:
    """Return whether the table exists."""
    sql = f"select 1 from information_schema.tables {_WHERE}"  # noqa: S608  a constant
    return bool(connection.execute(sql, _parts(table)))


def columns_of(connection: Connection, table: str) -> list[Column] | None:
    """
    List the columns of a table; None if it does not exist.

    Raises:
        RefusedError: Its engine has no transactions.
    """
    sql = f"select engine, table_type from information_schema.tables {_WHERE}"  # noqa: S608  a constant
    found = connection.execute(sql, _parts(table))
    if not found:
        return None
    engine, kind = found[0]
    if kind != "VIEW" and engine != "InnoDB":
        raise RefusedError(
            f"its engine, {engine}, has no transactions; run `alter table {quoted(table)} engine = InnoDB`"
        )
    rows = connection.execute(
        "select column_name, data_type, column_default, extra, is_nullable"  # noqa: S608
        f" from information_schema.columns {_WHERE} order by ordinal_position",
        _parts(table),
    )
    is_strict = kind == "BASE TABLE" and not connection.execute(_TRIGGERS, _parts(table))
    made = "" if kind == "VIEW" else connection.execute(f"show create table {quoted(table)}")[0][1]
    checked = {name.replace("``", "`") for name in _JSON.findall(made)}  # MariaDB's `json` is checked text
    return [
        Column(
            name,
            type_.lower(),
            fills_itself=default not in (None, "NULL") or "auto_increment" in extra.lower(),
            is_computed="generated" in extra.lower() and "default_generated" not in extra.lower(),
            is_json=type_.lower() == "json" or name in checked,
            needs_value=is_strict
            and nullable == "NO"
            and default is None
            and not extra
            and type_.lower() != "enum",  # it gets the first of its values
        )
        for name, type_, default, extra, nullable in rows
    ]


def check_key(connection: Connection, options: Options) -> None:
    """
    Check the unique indexes of a table written by key: `on duplicate key` looks at all of them.

    Raises:
        RefusedError: There is none on the key, or another one that might match instead.
    """
    rows = connection.execute(
        "select s.index_name, s.column_name, c.extra from information_schema.statistics s"
        " join information_schema.columns c using (table_schema, table_name, column_name)"
        " where s.table_schema = coalesce(%s, database()) and s.table_name = %s and s.non_unique = 0",
        _parts(options.table),
    )
    indexes: dict[str, set[str]] = {}
    counting = set()
    for index, column, extra in rows:
        indexes.setdefault(index, set()).add(column)
        if "auto_increment" in extra.lower():
            counting.add(column)
    written = set(options.columns) if options.columns else None
    if set(options.key) not in indexes.values():
        what = (
            f"`mode: upsert` needs a unique index on exactly the columns of `key`: {', '.join(options.key)}"
        )
        raise RefusedError(f"{what}; make one, or correct `key`")
    for name, columns in indexes.items():
        unwritten = columns <= counting if written is None else not columns <= written
        if columns != set(options.key) and not unwritten:
            raise RefusedError(
                f"it has another unique index, {name} ({', '.join(sorted(columns))}): a record could replace "
                "a row with another key; drop that index, or use `mode: append`"
            )


def created(connection: Connection, options: Options, records: Sequence[Any]) -> None:
    """
    Create a table for records, as `create` says; none if no record has a field.

    Raises:
        RefusedError: A column cannot be named.
    """
    types = TYPES.of(records, options.columns, rid=options.rid)
    if not types:
        return
    types |= {name: "varchar(255)" for name in options.key if types.get(name) == "longtext"}
    types |= options.types
    check_names(types, lambda name: len(name) <= LONGEST and name == name.rstrip())
    columns = definitions(types, options.key, listed)
    connection.execute(
        f"create table if not exists {quoted(options.table)} ({columns}) engine = InnoDB"
        " default charset = utf8mb4"
    )


def _parts(table: str) -> list[str | None]:
    schema, _, name = table.rpartition(".")
    return [schema or None, name]


def quoted(name: str) -> str:
    """Quote the name of a table; one with a dot is database and table."""
    return ".".join(f"`{part}`" for part in name.split("."))


def listed(names: Iterable[str]) -> str:
    """Quote the names of columns, separated by commas."""
    return ", ".join("`" + name.replace("`", "``") + "`" for name in names)


def read_columns(options: Options, root: Path, seconds: float) -> Sequence[Column] | None:
    """
    Connect, and list the columns of the table; None if it does not exist.

    Raises:
        RefusedError, TargetUnavailableError: The connection fails, or the table cannot be used.
    """
    with Connection(options, root, seconds).opened() as connection:
        return columns_of(connection, options.table)


def reach_table(options: Options, root: Path, seconds: float) -> str:
    """
    Connect, and read the table's properties; nothing is changed.

    Raises:
        RefusedError, TargetUnavailableError: The connection fails, or the table cannot be used.
        UnreachableError: The table does not exist.
    """
    with Connection(options, root, seconds).opened() as connection:
        if columns_of(connection, options.table) is not None:
            if options.mode == "upsert":
                check_key(connection, options)
            return ""  # unlike PostgreSQL, the server has no function that says whether a user may write it
        if options.create:
            return "the table will be created"
        raise UnreachableError(f"there is no table {options.table}; make it, or set `create: true`")
