"""Query: SQL for records whose fields have given types, and its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from rsq_pipe.sql.database import duckdb, named
from rsq_pipe.sql.fields import Fields
from rsq_pipe.sql.names import PLACE
from rsq_pipe.sql.rules import BATCH
from rsq_pipe.sql.tree import Node, parse, written
from rsq_pipe.sql.values import NULL, Reader, given, leaving

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_ROWS = 100_000
"""Maximum rows of one execution; with more, its records are handled in parts."""

_NULLS = ("VARCHAR", "BIGINT", "DOUBLE", "JSON")
"""Types tried for a null, one after another, if a query is invalid for a null without a type."""


class TooManyRowsError(Exception):
    """A query returned more rows for a batch than one execution may."""


class Query(Struct, frozen=True):
    """
    Hold the SQL for records with fields of certain types.

    Args:
        text: The SQL, with a list of values for each column of the batch as parameters, the places first.
        columns: Column that is a parameter -> its type.
        readers: For each computed column the function that converts its values, if any.
    """

    text: str
    columns: Mapping[str, str]
    readers: tuple[Reader | None, ...]

    def rows(
        self, connection: DuckDBPyConnection, count: int, values: Mapping[str, Sequence[Any]]
    ) -> list[tuple[Any, ...]]:
        """
        Run the query.

        Args:
            count: Number of records.
            values: Column -> its values.

        Raises:
            TooManyRowsError, ValueError, duckdb.Error
        """
        lists = [given(list(values[column]), of) for column, of in self.columns.items()]
        cursor = connection.execute(self.text, [list(range(count)), *lists])
        rows: list[tuple[Any, ...]] = cursor.fetchmany(MOST_ROWS + 1)
        if len(rows) > MOST_ROWS:
            connection.execute("select 1")  # discards the other rows
            raise TooManyRowsError
        return rows


def query(
    connection: DuckDBPyConnection, fields: Fields, kinds: Mapping[str, str], types: Mapping[str, str]
) -> Query:
    """
    Build the SQL for records of given types.

    Args:
        fields: The resolved query.
        kinds: Column of the batch -> the type of its values.
        types: Column -> the type it is cast to, if any.

    Raises:
        ValueError: A column has a type that records cannot hold.
        duckdb.Error: The query is invalid for these types.
    """
    binder = duckdb().BinderException
    try:
        return _query(connection, fields, kinds, types, NULL)
    except binder:
        if NULL not in kinds.values():
            raise
        for null in _NULLS:
            with suppress(binder):
                return _query(connection, fields, kinds, types, null)
        raise


def _query(
    connection: DuckDBPyConnection,
    fields: Fields,
    kinds: Mapping[str, str],
    types: Mapping[str, str],
    null: str,
) -> Query:
    columns = {column: kind for column, kind in kinds.items() if kind != NULL}
    inner = written(connection, _over(connection, fields.statement, _batch(kinds, types, null)))
    empty: list[list[Any]] = [[] for _ in range(len(columns) + 1)]
    described = connection.execute(inner, empty).description or []
    first = fields.numbers + 1
    selected = [f"c{at}" for at in range(first)]
    readers: list[Reader | None] = []
    for at, (name, of, *_) in enumerate(described[first:], first):
        try:
            expression, reader = leaving(f"c{at}", str(of))
        except ValueError as exc:
            raise ValueError(f"field {name.strip()!r} {exc}") from exc
        selected.append(expression)
        readers.append(reader)
    text = inner
    names = [f"c{at}" for at in range(len(described))]
    if selected != names:
        text = f"select {', '.join(selected)} from ({inner}) as made({', '.join(names)})"  # noqa: S608
    return Query(text, columns, tuple(readers))


def _batch(kinds: Mapping[str, str], types: Mapping[str, str], null: str) -> str:
    """Build the table of the records, which are passed as a list of values for each column."""
    selected = [f"unnest($1::BIGINT[]) as {PLACE}"]
    parameter = 1
    for column, kind in kinds.items():
        if kind == NULL:
            value = "null" if null == NULL else f"null::{null}"
        else:
            parameter += 1
            value = f"unnest(${parameter}::{kind}[])"
        if column in types and types[column].upper() != kind:
            value = f"cast({value} as {types[column]})"
        selected.append(f"{value} as {named(column)}")
    return f"select {', '.join(selected)}"


def _over(connection: DuckDBPyConnection, statement: Node, batch: str) -> Node:
    """Prepend the table of the records to a query, as a named subquery."""
    whole = parse(connection, f"with {BATCH} as ({batch}) select 1")
    node = dict(statement["node"])
    map_ = [*whole["node"]["cte_map"]["map"], *(node.get("cte_map") or {}).get("map", [])]
    node["cte_map"] = {"map": map_}
    return {**whole, "node": node}
