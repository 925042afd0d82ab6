"""Query: SQL for records whose fields are of given types, and the rows it makes."""

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
"""Rows that one execution hands over; with more, its records are handled a part at a time."""

_NULLS = ("VARCHAR", "BIGINT", "DOUBLE", "JSON")
"""Types that a null is given, one after another, where a query cannot be meant for one without a type."""


class TooManyRowsError(Exception):
    """A query made more rows of a batch than are handed over at once."""


class Query(Struct, frozen=True):
    """
    Hold the SQL for records with fields of certain types.

    Args:
        text: It, with a list of values for each column of the batch as parameters, the places first.
        columns: The columns that are parameters -> their type.
        readers: For each column that SQL makes what reads its values, if anything.
    """

    text: str
    columns: Mapping[str, str]
    readers: tuple[Reader | None, ...]

    def rows(
        self, connection: DuckDBPyConnection, count: int, values: Mapping[str, Sequence[Any]]
    ) -> list[tuple[Any, ...]]:
        """
        Run it.

        Args:
            count: How many records there are.
            values: Column -> their values.

        Raises:
            TooManyRowsError, ValueError, duckdb.Error
        """
        lists = [given(list(values[column]), of) for column, of in self.columns.items()]
        cursor = connection.execute(self.text, [list(range(count)), *lists])
        rows: list[tuple[Any, ...]] = cursor.fetchmany(MOST_ROWS + 1)
        if len(rows) > MOST_ROWS:
            connection.execute("select 1")  # lets go of the rest
            raise TooManyRowsError
        return rows


def query(
    connection: DuckDBPyConnection, fields: Fields, kinds: Mapping[str, str], types: Mapping[str, str]
) -> Query:
    """
    Write the SQL for records of certain types.

    Args:
        fields: What the query makes.
        kinds: Column of the batch -> what its values are.
        types: Column -> the type it is cast to, of those that have one.

    Raises:
        ValueError: A column is of a type that records have no form for.
        duckdb.Error: It cannot be said of these types.
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
    """Write the table of the records, which come as a list of values for each column."""
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
    """Put the table of the records in front of a query, as a subquery with a name."""
    whole = parse(connection, f"with {BATCH} as ({batch}) select 1")
    node = dict(statement["node"])
    map_ = [*whole["node"]["cte_map"]["map"], *(node.get("cte_map") or {}).get("map", [])]
    node["cte_map"] = {"map": map_}
    return {**whole, "node": node}
