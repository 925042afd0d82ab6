"""Natural types: the type in which values of a declared type usually arrive, used for its nulls, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rsq_pipe.sql.database import duckdb
from rsq_pipe.sql.tree import SqlError, first_part, parse

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_WHOLE = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "HUGEINT",
)


def natural(connection: DuckDBPyConnection, text: str) -> str:
    """
    Return the type given to a null of a declared type, so that it fits the other values of its column.

    Raises:
        SqlError: It is not a type.
    """
    fix = "write bigint, double, varchar, date, ..."
    try:
        node: Any = parse(connection, f"select null::{text}")["node"]["select_list"][0]
        is_type = node.get("type") == "OPERATOR_CAST" and node["child"].get("class") == "CONSTANT"
    except SqlError:
        is_type = False
    if not is_type:
        raise SqlError(f"{text!r} is not an SQL type", fix)
    try:
        name = str(connection.execute(f"select null::{text}").description[0][1])
    except duckdb().Error as exc:
        raise SqlError(first_part(str(exc)).removeprefix("Catalog Error: "), fix) from exc
    if name in _WHOLE:
        return "BIGINT"
    if name in {"DOUBLE", "FLOAT"} or name.startswith("DECIMAL"):
        return "DOUBLE"
    if name == "BOOLEAN":
        return name
    return (
        "JSON" if name.endswith("]") or name.startswith(("STRUCT", "MAP", "JSON", "VARIANT")) else "VARCHAR"
    )
