"""Fields: which names of a query are fields of the records, and which fields it makes."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from rsq_pipe.sql.database import named
from rsq_pipe.sql.layout import AllFields, Column, FieldPath, Item, OneField, spell_path
from rsq_pipe.sql.rules import BATCH, Shape
from rsq_pipe.sql.tree import Node, SqlError, begin, bound, place, place_of, told, walk, written
from rsq_pipe.suggestion import near, suggest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PLACE = "_rsq_place"
"""The column of the batch that says which record a row was made of."""

MOST_FIELDS = 500
_ASSUMED = ('"NULL"', "VARCHAR", "BIGINT", "DOUBLE", "JSON", "BOOLEAN")
"""Types that fields without one are taken for, one after another, to see whether a query can be meant."""

_JOINED = re.compile(r'Column "(.+)" does not exist on (left|right) side of join', re.DOTALL)
_WITHIN_ITSELF = re.compile(r'Column "(.+)" referenced that exists in the SELECT clause', re.DOTALL)
"""What DuckDB says of `upper(name) as name`, where nothing else has that name."""


class Fields(Struct, frozen=True):
    """
    Hold what a query makes of records, with the files it joins as they are.

    Args:
        paths: The column of the batch -> the field it holds, of all that SQL needs.
        statement: The query, with the place of each row first, then the numbers of the files' rows, then what
            SQL makes.
        numbers: How many of those columns are numbers of rows.
        layout: The fields of a record it makes.
        by_content: Whether rows of one record have no other order than by what they hold.
    """

    paths: Mapping[str, FieldPath]
    statement: Node
    numbers: int
    layout: tuple[Item, ...]
    by_content: bool


def resolve(connection: DuckDBPyConnection, shape: Shape, types: Mapping[str, str]) -> Fields:
    """
    Separate fields from columns of files, and computed values from values passed on unchanged.

    Raises:
        SqlError: A name is neither a field nor a column, or two are one.
    """
    names = _found(connection, shape, types)
    _check_declared(shape, types, names)
    reader = _Reader(connection, shape, types, names)
    layout = reader.layout()
    _check_twice(layout)
    fields = reader.fields(layout)
    _check_rows(connection, fields)
    return fields


def _found(connection: DuckDBPyConnection, shape: Shape, types: Mapping[str, str]) -> dict[str, None]:
    """
    Find the fields at the top of the records that a query names: the names that nothing else has.

    DuckDB is asked, with none at first; it says which it lacks.
    """
    batch = shape.batch.lower()
    using = [name for one in walk(shape.node.get("from_table")) for name in one.get("using_columns", [])]
    found: dict[str, None] = dict.fromkeys(_in_stars(shape))
    found |= dict.fromkeys(
        one["column_names"][1]
        for one in walk(shape.statement)
        if one.get("class") == "COLUMN_REF"
        and len(one["column_names"]) > 1
        and one["column_names"][0].lower() == batch
    )
    for _ in range(MOST_FIELDS):
        _view(connection, found, types, _ASSUMED[0])
        error = bound(connection, shape.text)
        if error is None:
            return found
        name = _lacked(shape, error, using)
        if name is None or name in found:
            break
        found[name] = None
    else:
        raise SqlError(f"the query names more than {MOST_FIELDS} fields", "use several stages", 0)
    _check_any_type(connection, shape, types, found, error)
    return found


def _in_stars(shape: Shape) -> Iterator[str]:
    """Yield the fields that `*` leaves out, replaces or renames."""
    for one in shape.node["select_list"]:
        if one.get("class") == "STAR" and one.get("relation_name", "").lower() in {"", shape.batch.lower()}:
            yield from (_name(entry) for entry in one.get("exclude_list", []))
            yield from (entry["key"] for entry in one.get("replace_list", []))
            yield from (_name(entry["key"]) for entry in one.get("rename_list", []))


def _name(entry: Any) -> str:
    return str(entry["column"] if isinstance(entry, dict) else entry)


def _lacked(shape: Shape, error: Node, using: Sequence[str]) -> str | None:
    """Name the field that DuckDB does not find; None where that is not what is wrong."""
    message = error["error_message"]
    if error.get("error_subtype") == "COLUMN_NOT_FOUND":
        return str(error["name"])
    if within := _WITHIN_ITSELF.match(message):
        return within[1]
    if joined := _JOINED.match(message):
        return joined[1] if joined[1] in using else None
    if message.startswith("Referenced table "):
        at = place_of(shape.text, error)
        for one in walk(shape.statement):
            if one.get("class") == "COLUMN_REF" and place(shape.text, one) == at:
                return str(one["column_names"][0])
    return None


def _check_any_type(
    connection: DuckDBPyConnection,
    shape: Shape,
    types: Mapping[str, str],
    found: Mapping[str, None],
    error: Node,
) -> None:
    """Report what is wrong, unless it would be right with some types of the fields."""
    typed = all(name in types for name in found)
    if error.get("error_type") == "binder" and "error_subtype" not in error and not typed:
        for assumed in _ASSUMED[1:]:
            _view(connection, found, types, assumed)
            if bound(connection, shape.text) is None:
                return
    fix = ""
    if error.get("error_subtype") == "COLUMN_NOT_FOUND":
        fix = f"in a subquery, a field is {shape.batch}.{error['name']}"
    elif error.get("candidates") and "Did you mean" in error["error_message"]:
        match = near(str(error.get("name")), str(error["candidates"]).split(","))
        fix = f"did you mean {match!r}?" if match else ""
    elif error.get("error_type") == "binder" and not typed and "function" in error["error_message"]:
        fix = "correct the call, or declare the types of its fields under `types`"
    raise SqlError(told(error["error_message"]), fix, place_of(shape.text, error))


def _view(
    connection: DuckDBPyConnection, found: Mapping[str, None], types: Mapping[str, str], assumed: str
) -> None:
    columns = [f"null::{types.get(spell_path((name,)), assumed)} as {named(name)}" for name in found]
    columns = [one.replace('null::"NULL"', "null") for one in columns]
    selected = ", ".join([f"null::BIGINT as {PLACE}", *columns])
    connection.execute(f"create or replace temp view {BATCH} as select {selected}")


def _check_declared(shape: Shape, types: Mapping[str, str], names: Mapping[str, None]) -> None:
    lower: dict[str, str] = {}
    for name in names:
        other = lower.setdefault(name.lower(), name)
        if other != name:
            what = f"the fields {other!r} and {name!r} differ only in case, which SQL ignores"
            raise SqlError(what, "rename one, by a `select` above", 0)
    given = {one["alias"] for one in shape.node["select_list"] if one.get("alias")}
    for one in walk(shape.statement):
        if one.get("class") == "COLUMN_REF":
            name = _bare(shape, one["column_names"])[0]
            meant = lower.get(name.lower(), name)
            if meant != name and name not in given:
                what = f"the field {meant!r} is written {name!r} here: the same to SQL, and not to a record"
                raise SqlError(what, "write it alike everywhere", place(shape.text, one))
    tops = {spell_path((name,)) for name in names}
    refs = {spell_path(tuple(path)) for path in _paths(shape, names)}
    for text in types:
        if text not in tops | refs:
            fix = suggest(text, tops | refs, otherwise="remove it, or name the field in the query")
            raise SqlError(f"the query names no field {text!r}", fix, key=("types", text))


def _paths(shape: Shape, names: Mapping[str, None]) -> Iterator[Sequence[str]]:
    """Yield the fields inside others that a query may name: `customer.name`."""
    for one in walk(shape.statement):
        if one.get("class") == "COLUMN_REF":
            parts = one["column_names"]
            inside = parts[1:] if parts[0].lower() == shape.batch.lower() else parts
            if len(inside) > 1 and inside[0] in names:
                yield inside


def _check_rows(connection: DuckDBPyConnection, fields: Fields) -> None:
    """Report an aggregate over the records that stands in a subquery: no row is then of one record."""
    columns = ", ".join([f"null::BIGINT as {PLACE}", *(f"null as {named(name)}" for name in fields.paths)])
    connection.execute(f"create or replace temp view {BATCH} as select {columns}")
    error = bound(connection, written(connection, fields.statement))
    if error is not None and "GROUP BY" in error["error_message"]:
        fix = "a batch holds whatever records came together; use an `aggregate` stage"
        raise SqlError("a subquery adds up fields of the records", fix, 0)


def _check_twice(layout: Sequence[Item]) -> None:
    seen: set[str] = set()
    for item in layout:
        if isinstance(item, AllFields):
            continue
        if item.name in seen:
            raise SqlError(f"two fields are named {item.name!r}", "give one another name: `as NAME`", 0)
        seen.add(item.name)


class _Reader:
    """Read the list of a SELECT: what goes on as it is, and what SQL has to make."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        shape: Shape,
        types: Mapping[str, str],
        names: Mapping[str, None],
    ) -> None:
        self._connection = connection
        self._shape = shape
        self._types = types
        self._names = names
        self._lambdas = {
            name
            for one in walk(shape.statement)
            if one.get("class") == "LAMBDA"
            for ref in walk(one.get("lhs"))
            for name in ref.get("column_names", [])
        }
        self._made: list[Node] = []
        self._using = {
            name.lower()
            for one in walk(shape.node.get("from_table"))
            for name in one.get("using_columns", [])
        }
        self._columns = 0

    def layout(self) -> tuple[Item, ...]:
        """List the fields that are made."""
        return tuple(item for one in self._shape.node["select_list"] for item in self._items(one))

    def fields(self, layout: tuple[Item, ...]) -> Fields:
        """Put the query together that makes the rest."""
        statement = copy.deepcopy(self._shape.statement)
        files = [table for table in self._shape.tables if table.is_file]
        place_ = _column(self._shape.batch, PLACE)
        numbers = [_column(table.alias, "rowid") for table in files]
        statement["node"]["select_list"] = [place_, *numbers, *copy.deepcopy(self._made)]
        paths: dict[str, FieldPath] = {}
        for one in walk(statement):
            for name in one.get("using_columns", []):
                if name in self._names:
                    paths[name] = (name,)
            if one.get("class") == "COLUMN_REF" and (path := self._path(one["column_names"])):
                column = spell_path(path)
                one["column_names"] = self._spelled(one["column_names"], path, column)
                paths[column] = path
        by_content = len(files) < len(self._shape.tables)
        return Fields(paths, statement, len(numbers), layout, by_content)

    def _spelled(self, parts: Sequence[str], path: FieldPath, column: str) -> list[str]:
        head = [parts[0]] if parts[0].lower() == self._shape.batch.lower() and len(parts) > 1 else []
        return [*head, column, *parts[len(head) + len(path) :]]

    def _path(self, parts: Sequence[str]) -> FieldPath | None:
        """Return which field a name refers to; None if it is something else."""
        if len(parts) > 1 and parts[0].lower() == self._shape.batch.lower():
            parts = parts[1:]
        elif len(parts) > 1 and parts[0].lower() in self._shape.aliases:
            return None
        if parts[0] not in self._names or parts[0] in self._lambdas:
            return None
        # A field that has a type is SQL's, with all that is in it.
        return (parts[0],) if spell_path((parts[0],)) in self._types else tuple(parts)

    def _items(self, one: Node) -> Iterator[Item]:
        if one.get("class") == "STAR":
            yield from self._star(one)
            return
        self._check_no_star(one)
        name = one.get("alias") or ""
        if one.get("class") == "COLUMN_REF":
            parts = one["column_names"]
            name = name or parts[-1]
            path = self._path(parts)
            if path and spell_path(path) not in self._types and len(path) == len(_bare(self._shape, parts)):
                yield OneField(name, path)
                if self._is_used(name, one):
                    self._column({**one, "alias": name})
                return
        if not name:
            what = "an expression in the list has no name"
            raise SqlError(what, "add `as NAME`", begin(self._shape.text, one))
        yield Column(name, self._column(one))

    def _column(self, one: Node) -> int:
        self._made.append(one)
        self._columns += 1
        return self._columns - 1

    def _is_used(self, alias: str, by: Node) -> bool:
        """Return whether a name that the list gives is used elsewhere in the query."""
        return any(
            one is not by and one.get("class") == "COLUMN_REF" and one["column_names"] == [alias]
            for one in walk(self._shape.statement)
        )

    def _star(self, one: Node) -> Iterator[Item]:
        table = one.get("relation_name", "")
        if one.get("columns") or one.get("expr"):
            raise SqlError(
                "COLUMNS asks for all fields of the records, which may have any",
                "name them",
                place(self._shape.text, one),
            )
        if table and table.lower() not in self._shape.aliases:
            fix = suggest(table, [*(one.alias for one in self._shape.tables), self._shape.batch])
            raise SqlError(f"there is no table {table!r}", fix, place(self._shape.text, one))
        if table.lower() == self._shape.batch.lower() or (not table and not self._shape.tables):
            yield self._all(one)
        elif table:
            yield from self._columns_of(table, one)
        else:
            if one.get("exclude_list") or one.get("replace_list") or one.get("rename_list"):
                what = "`*` over several tables cannot leave out or replace"
                fix = f"write {self._shape.batch}.* exclude (...), and the tables' own"
                raise SqlError(what, fix, place(self._shape.text, one))
            for at, beside in enumerate((*self._shape.tables, None)):
                if at == self._shape.at:
                    yield self._all(one)
                if beside is not None:
                    yield from self._columns_of(beside.alias, {"class": "STAR", "type": "STAR"}, shared=False)

    def _all(self, one: Node) -> AllFields:
        """Read `*` of the batch."""
        renamed = {_name(entry["key"]): entry["value"] for entry in one.get("rename_list", [])}
        without = [_name(entry) for entry in one.get("exclude_list", [])]
        replaced = {}
        for entry in one.get("replace_list", []):
            name = entry["key"]
            replaced[name] = self._column({**entry["value"], "alias": f"{name} "})
        # A field that has a type is SQL's; it goes on as what it was cast to.
        cast = {
            name: self._column({**_column(self._shape.batch, name), "alias": f"{name} "})
            for name in self._names
            if spell_path((name,)) in self._types and name not in {*without, *replaced}
        }
        return AllFields(frozenset(without), renamed, replaced, cast)

    def _columns_of(self, table: str, one: Node, *, shared: bool = True) -> Iterator[Item]:
        """Read `*` of a table beside the batch; DuckDB tells its columns."""
        if one.get("replace_list") or one.get("rename_list"):
            what = f"`{table}.*` cannot replace or rename"
            raise SqlError(what, "name the columns", place(self._shape.text, one))
        star = {**one, "relation_name": table}
        node = {**self._shape.node, "select_list": [star]}
        node.pop("where_clause", None)
        text = written(self._connection, {**self._shape.statement, "node": node})
        described = self._connection.execute(f"describe {text}").fetchall()
        for name, *_ in described:
            if not shared and name.lower() in self._using:
                continue
            yield Column(name, self._column({**_column(table, name), "alias": name}))

    def _check_no_star(self, one: Node) -> None:
        for inner in walk(one):
            if inner.get("class") == "STAR" and "subquery" not in one:
                raise SqlError(
                    "`*` must be on its own in the list",
                    "name the fields",
                    place(self._shape.text, inner),
                )


def _bare(shape: Shape, parts: Sequence[str]) -> Sequence[str]:
    return parts[1:] if len(parts) > 1 and parts[0].lower() == shape.batch.lower() else parts


def _column(table: str, name: str) -> dict[str, Any]:
    return {"class": "COLUMN_REF", "type": "COLUMN_REF", "column_names": [table, name]}
