"""Rules: what a query over a batch may contain, so that no record's result depends on the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from rsq_pipe.sql.tree import Node, SqlError, SqlErrors, parse, place, walk, walk_outer
from rsq_pipe.suggestion import suggest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BATCH = "batch"
"""The table of a query that holds the records."""

FILES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
"""Suffixes of reference files."""

_BATCH_IS = "a batch holds whatever records came together"
_AGGREGATE = f"{_BATCH_IS}; use an `aggregate` stage"
_RANK = f"{_BATCH_IS}; rank what the sink has written, such as a table of `duckdb`"
_MODIFIERS = {
    "ORDER_MODIFIER": (
        "ORDER BY",
        f"{_BATCH_IS}; sort what the sink has written",
    ),
    "LIMIT_MODIFIER": ("LIMIT", f"{_BATCH_IS}; use `sample`, or `head` on the file"),
    "LIMIT_PERCENT_MODIFIER": ("LIMIT", f"{_BATCH_IS}; use a `sample` stage"),
    "DISTINCT_MODIFIER": ("DISTINCT", f"{_BATCH_IS}; use a `dedupe` stage"),
}
_TABLES = ("BASE_TABLE", "JOIN", "SUBQUERY", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY")
_TABLE_FUNCTIONS = frozenset(("unnest", "range", "generate_series", "json_each", "json_tree"))
_AGGREGATING = frozenset(
    [
        "json_group_array",
        "json_group_object",
        "json_group_structure",
        "variant_group_array",
        "geomean",
        "geometric_mean",
        "wavg",
        "weighted_avg",
        "count_star",
    ]
)
"""Functions that are composed of aggregates."""

_CHANGING = frozenset(
    [
        "now",
        "today",
        "ago",
        "get_current_time",
        "get_current_timestamp",
        "transaction_timestamp",
        "current_date",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
        "current_localtime",
        "current_localtimestamp",
        "txid_current",
        "pg_sleep",
    ]
)
"""Functions, some written without brackets, that return the time."""

_SURROUNDINGS = frozenset(
    [
        "current_database",
        "current_schema",
        "current_schemas",
        "current_setting",
        "getvariable",
        "current_query",
        "current_user",
        "current_role",
        "current_catalog",
        "session_user",
        "user",
        "in_search_path",
        "version",
    ]
)
"""Functions, some written without brackets, that return facts of the database, not of a record."""

_NO_BRACKETS = frozenset(
    [
        "current_date",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
        "current_user",
        "current_role",
        "current_catalog",
        "current_schema",
        "session_user",
        "user",
    ]
)


class Table(Struct, frozen=True):
    """
    Describe a table joined to the batch.

    Args:
        alias: Its name in the query.
        name: The file, or a name defined in the query.
        is_file: Whether it is a file, whose rows are numbered.
    """

    alias: str
    name: str
    is_file: bool


class Shape(Struct, frozen=True):
    """
    Describe a query that follows the rules.

    Args:
        text: The query as written.
        statement: The query as a tree.
        batch: The batch's name in the query.
        tables: The other tables in FROM, in order, if their columns are visible outside.
        at: How many of these come before the batch.
        files: All files in it.
        reason: Why a record may have no row.
    """

    text: str
    statement: Node
    batch: str
    tables: tuple[Table, ...]
    at: int
    files: tuple[str, ...]
    reason: str

    @property
    def node(self) -> Node:
        """The outer SELECT."""
        node: Node = self.statement["node"]
        return node

    @property
    def aliases(self) -> frozenset[str]:
        """All names of tables, in lower case."""
        return frozenset(table.alias.lower() for table in self.tables) | {self.batch.lower()}


def read(connection: DuckDBPyConnection, text: str) -> Shape:
    """
    Parse and check a query.

    Raises:
        SqlError: It is not SQL, or contains parts that are not allowed over a batch; all of them are listed.
    """
    statement = parse(connection, text)
    node = statement["node"]
    if node["type"] != "SELECT_NODE":
        kind = node.get("setop_type", "a recursive query")
        fix = f"{_BATCH_IS}; use two stages, and one that reads both: `from: [one, other]`"
        raise SqlError(f"{kind} cannot be said over a batch", fix, 0)
    names = {entry["key"].lower() for one in walk(statement) for entry in _ctes(one)}
    found = list(_wrong_whole(text, node))
    if BATCH in names:
        found.append(SqlError(f"the name {BATCH!r} is that of the records", "give the subquery another", 0))
    no_tables = list(_wrong_tables(text, statement, names))
    grouped = any(one.fix == _AGGREGATE for one in found)
    found += [*no_tables, *_wrong_parts(connection, text, statement, aggregates=not grouped)]
    tables: list[Table] = []
    try:
        tables += _beside(text, node.get("from_table", {}), names)
    except SqlError as exc:
        found.append(exc)
    else:
        # A table that is not there is meant to be the batch, perhaps.
        found += () if no_tables else _wrong_batch(text, statement, tables)
    if found:
        raise SqlErrors(found)
    (at,) = [at for at, table in enumerate(tables) if table.name.lower() == BATCH]
    beside = tuple(table for table in tables if table.name.lower() != BATCH)
    return Shape(text, statement, tables[at].alias, beside, at, files_of(statement), _reason(node))


def files_of(statement: Node) -> tuple[str, ...]:
    """Name the files of a query."""
    names = (one["table_name"] for one in walk(statement) if one.get("type") == "BASE_TABLE")
    return tuple(dict.fromkeys(name for name in names if name.lower().endswith(FILES)))


def _wrong_batch(text: str, statement: Node, tables: Sequence[Table]) -> Iterator[SqlError]:
    every = [one for one in walk(statement) if _is_batch(one)]
    if not every:
        yield SqlError(f"the query does not read {BATCH!r}, the records", f"write FROM {BATCH}", 0)
    elif len(every) > 1 or not any(table.name.lower() == BATCH for table in tables):
        what = f"{BATCH!r} may appear only once, in FROM of the whole query"
        fix = f"{_BATCH_IS}, so no record may depend on others; use two stages, or join a file"
        yield SqlError(what, fix, place(text, every[-1]))


def _wrong_whole(text: str, node: Node) -> Iterator[SqlError]:
    for modifier in node.get("modifiers", []):
        name, fix = _MODIFIERS.get(modifier["type"], (modifier["type"], _BATCH_IS))
        at = next((at for one in walk(modifier) if (at := place(text, one)) is not None), 0)
        yield SqlError(f"{name} cannot be said over a batch", fix, at)
    if node.get("group_expressions") or node.get("group_sets") or node.get("having"):
        first: Node = next(walk(node.get("group_expressions", [])), {})
        yield SqlError("GROUP BY cannot be said over a batch", _AGGREGATE, place(text, first))
    if node.get("aggregate_handling", "STANDARD_HANDLING") != "STANDARD_HANDLING":
        yield SqlError("GROUP BY ALL cannot be said over a batch", _AGGREGATE, 0)
    if qualify := node.get("qualify"):
        yield SqlError("QUALIFY cannot be said over a batch", _RANK, place(text, qualify))
    if any(one.get("sample") for one in walk(node)):
        yield SqlError("a query cannot sample", "use a `sample` stage: it chooses by record id", 0)


def _wrong_parts(
    connection: DuckDBPyConnection, text: str, statement: Node, *, aggregates: bool
) -> Iterator[SqlError]:
    """Find what is wrong with single parts; the aggregates of a GROUP BY are told with that."""
    aggregating, volatile = _functions(connection)
    for one in walk(statement):
        wrong = _wrong(one, volatile)
        if wrong:
            yield SqlError(*wrong, place(text, one))
    for one in walk_outer(statement["node"]) if aggregates else ():
        name = _function(one)
        what, fix = "", _AGGREGATE
        if one.get("class") == "WINDOW":
            what, fix = f"the window function `{name}`", _RANK
        elif one.get("class") == "FUNCTION" and (name in aggregating or name in _AGGREGATING):
            what = f"the aggregate `{'count' if name == 'count_star' else name}`"
        if what:
            yield SqlError(f"{what} cannot be said over a batch", fix, place(text, one))


def _wrong(one: Node, volatile: frozenset[str]) -> tuple[str, str] | None:
    """Return what is wrong with a part, anywhere in the query, and the fix."""
    kind, name = one.get("class"), _function(one)
    names = one.get("column_names", ())
    if kind == "COLUMN_REF" and len(names) == 1 and names[0].lower() in _NO_BRACKETS:
        name = names[0].lower()
    if name in _CHANGING or (name == "age" and len(one.get("arguments", ())) == 1):
        return (
            f"`{name}` gives a different time in each attempt",
            "have the time in the record, by a `map` above",
        )
    if name in _SURROUNDINGS:
        return (
            f"`{name}` says nothing about a record",
            f"leave it out; a field of this name is {BATCH}.{name}",
        )
    if kind == "FUNCTION" and name in volatile:
        what = f"`{name}` gives another value at each attempt, or has effects"
        return what, "derive a value from the record: hash(id), md5(id)"
    if kind == "PARAMETER":
        return "a query has no parameters", "use `${VARIABLE}`, or a field"
    if kind == "POSITIONAL_REFERENCE":
        return "columns have no numbers here", "name the field"
    return None


def _function(one: Node) -> str:
    return str(one.get("function_name", "")).lower()


_known: list[tuple[frozenset[str], frozenset[str]]] = []
"""DuckDB's lists of its functions, once read."""


def _functions(connection: DuckDBPyConnection) -> tuple[frozenset[str], frozenset[str]]:
    """List DuckDB's aggregates, and its functions whose result does not depend on their arguments alone."""
    if not _known:
        kinds = "select function_name, function_type, stability from duckdb_functions()"
        rows = connection.execute(kinds).fetchall()
        volatile = {name for name, _, stability in rows if stability == "VOLATILE"} - {"error"}
        _known.append((frozenset(name for name, kind, _ in rows if kind == "aggregate"), frozenset(volatile)))
    return _known[0]


def _is_batch(one: Node) -> bool:
    return one.get("type") == "BASE_TABLE" and one.get("table_name", "").lower() == BATCH


def _ctes(one: Node) -> list[Node]:
    found: list[Node] = (one.get("cte_map") or {}).get("map", [])
    return found


def _wrong_tables(text: str, statement: Node, names: set[str]) -> Iterator[SqlError]:
    for one in walk(statement):
        if one.get("class") is None and "query_location" in one and "select_list" not in one:
            yield from _wrong_table(text, one)
        if one.get("type") != "BASE_TABLE" or _is_batch(one):
            continue
        name = one["table_name"]
        if len(one["qualified_name"]["path"]) > 1 or one.get("at_clause"):
            what = f"there is no table {name!r} in a schema"
            yield SqlError(what, "name a file in quotes", place(text, one))
        elif not name.lower().endswith(FILES) and name.lower() not in names:
            fix = suggest(name, [BATCH], otherwise=f"write {BATCH}, or a file: 'data/{name}.csv'")
            yield SqlError(f"there is no table {name!r}", fix, place(text, one))


def _wrong_table(text: str, one: Node) -> Iterator[SqlError]:
    kind = one.get("type")
    if kind == "TABLE_FUNCTION":
        function = one["function"].get("function_name", "").lower()
        if function not in _TABLE_FUNCTIONS:
            what = f"`{function}` is not a table here"
            fix = "name a file by itself: JOIN 'data/airlines.csv'"
            yield SqlError(what, fix, place(text, one))
    elif kind in {"PIVOT", "SHOW_REF", "COLUMN_DATA", "BOUND_TABLE_REF", "DELIM_GET"}:
        yield SqlError(f"{kind} cannot be said over a batch", _BATCH_IS, place(text, one))


def _beside(text: str, one: Node, names: set[str]) -> Iterator[Table]:
    """Yield the tables of FROM whose columns are visible, including the batch."""
    kind = one.get("type")
    if kind == "JOIN":
        yield from _joined(text, one, names)
    elif kind == "BASE_TABLE":
        name = one["table_name"]
        yield Table(one.get("alias") or name, name, name.lower() not in names)
    elif kind == "TABLE_FUNCTION":
        yield Table(one.get("alias") or one["function"]["function_name"], "", is_file=False)
    elif kind in _TABLES and kind != "EMPTY":
        yield Table(one.get("alias") or "", "", is_file=False)


def _joined(text: str, one: Node, names: set[str]) -> Iterator[Table]:
    left = list(_beside(text, one["left"], names))
    right = list(_beside(text, one["right"], names))
    how, kind = one.get("ref_type", "REGULAR"), one.get("join_type", "INNER")
    at_left = any(table.name.lower() == BATCH for table in left)
    at_right = any(table.name.lower() == BATCH for table in right)
    if how in {"NATURAL", "POSITIONAL"} and (at_left or at_right):
        what = f"a {how} join asks for all columns of the records, which may have any"
        raise SqlError(what, "write USING (field), or ON", place(text, one))
    wrong = (at_left and kind in {"RIGHT", "OUTER", "FULL"}) or (at_right and kind not in {"INNER", "RIGHT"})
    if wrong or (at_right and how == "ASOF"):
        what = f"this {kind} join makes rows of no record"
        if kind in {"SEMI", "ANTI"}:
            what = f"this {kind} join gives rows of the file, and not of the records"
        fix = f"write {BATCH} at the left, and JOIN or LEFT JOIN the file"
        raise SqlError(what, fix, place(text, one))
    yield from left
    if kind not in {"SEMI", "ANTI", "MARK"}:
        yield from right


def _reason(node: Node) -> str:
    """Return why a record may have no row."""
    parts = ["where"] if node.get("where_clause") else []
    if any(one.get("type") == "JOIN" and one.get("join_type") != "LEFT" for one in walk_outer(node)):
        parts.append("join")
    if any(str(one.get("function_name", "")).lower() == "unnest" for one in walk_outer(node)):
        parts.append("unnest")
    return f"sql: {' or '.join(parts) or 'no row'}"
