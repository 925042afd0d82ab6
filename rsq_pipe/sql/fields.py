"""Fields: which names of a query are fields of the records, and which fields it computes."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from rsq_pipe.sql.database import named
from rsq_pipe.sql.layout import AllFields, Column, FieldPath, Item, OneField, spell_path
from rsq_pipe.sql.names import PLACE, field_names, name_of
from rsq_pipe.sql.rules import BATCH, Shape
from rsq_pipe.sql.tree import (
    Node,
    SqlError,
    SqlErrors,
    begin,
    bound,
    place,
    walk,
    written,
)
from rsq_pipe.suggestion import suggest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Fields(Struct, frozen=True):
    """
    Hold a query resolved for records and for the current files that it joins.

    Args:
        paths: Column of the batch -> the field it holds, for all fields that SQL needs.
        statement: The query; it selects the place of each row first, then the numbers of the files' rows,
            then the computed columns.
        numbers: How many of those columns are row numbers.
        layout: The fields of a resulting record.
        by_content: Whether rows of one record can only be ordered by their contents.
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
        SqlError: A name is neither a field nor a column, or two are one; all that is wrong.
    """
    names = field_names(connection, shape, types)
    wrong = list(_wrong_declared(shape, types, names))
    reader = _Reader(connection, shape, types, names)
    layout: tuple[Item, ...] = ()
    try:
        layout = reader.layout()
    except SqlError as exc:
        wrong.append(exc)
    if wrong:
        raise SqlErrors(wrong)
    fields = reader.fields(layout)
    _check_rows(connection, fields)
    return fields


def _wrong_declared(shape: Shape, types: Mapping[str, str], names: Mapping[str, None]) -> Iterator[SqlError]:
    lower: dict[str, str] = {}
    for name in names:
        other = lower.setdefault(name.lower(), name)
        if other != name:
            what = f"the fields {other!r} and {name!r} differ only in case, which SQL ignores"
            yield SqlError(what, "rename one, by a `select` above", 0)
    given = {one["alias"] for one in shape.node["select_list"] if one.get("alias")}
    for one in walk(shape.statement):
        if one.get("class") == "COLUMN_REF":
            name = _bare(shape, one["column_names"])[0]
            meant = lower.get(name.lower(), name)
            if meant != name and name not in given:
                what = f"the field {meant!r} is written {name!r} here: the same to SQL, and not to a record"
                yield SqlError(what, "write it alike everywhere", place(shape.text, one))
    tops = {spell_path((name,)) for name in names}
    refs = {spell_path(tuple(path)) for path in _paths(shape, names)}
    for text in types:
        if text not in tops | refs:
            fix = suggest(text, tops | refs, otherwise="remove it, or name the field in the query")
            yield SqlError(f"the query names no field {text!r}", fix, key=("types", text))


def _paths(shape: Shape, names: Mapping[str, None]) -> Iterator[Sequence[str]]:
    """Yield the fields inside others that a query may name: `customer.name`."""
    for one in walk(shape.statement):
        if one.get("class") == "COLUMN_REF":
            parts = one["column_names"]
            inside = parts[1:] if parts[0].lower() == shape.batch.lower() else parts
            if len(inside) > 1 and inside[0] in names:
                yield inside


def _check_rows(connection: DuckDBPyConnection, fields: Fields) -> None:
    """Report an aggregate over the records in a subquery: its rows would not belong to one record."""
    columns = ", ".join([f"null::BIGINT as {PLACE}", *(f"null as {named(name)}" for name in fields.paths)])
    connection.execute(f"create or replace temp view {BATCH} as select {columns}")
    error = bound(connection, written(connection, fields.statement))
    if error is not None and "GROUP BY" in error["error_message"]:
        fix = "a batch holds whatever records came together; use an `aggregate` stage"
        raise SqlError("a subquery adds up fields of the records", fix, 0)


def _named_twice(layout: Sequence[Item]) -> Iterator[SqlError]:
    names = Counter(item.name for item in layout if not isinstance(item, AllFields))
    for name, times in names.items():
        if times > 1:
            yield SqlError(f"two fields are named {name!r}", "give one another name: `as NAME`", 0)


class _Reader:
    """Read the list of a SELECT: which items are passed on unchanged, and which SQL has to compute."""

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
        """
        List the fields that are made.

        Raises:
            SqlError: Some cannot be made, or two have one name; all that is wrong.
        """
        found: list[Item] = []
        wrong: list[SqlError] = []
        for one in self._shape.node["select_list"]:
            try:
                found += self._items(one)
            except SqlError as exc:
                wrong.append(exc)
        wrong += _named_twice(found)
        if wrong:
            raise SqlErrors(wrong)
        return tuple(found)

    def fields(self, layout: tuple[Item, ...]) -> Fields:
        """Build the query that computes the remaining columns."""
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
        # A field with a type is computed by SQL, with everything inside it.
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
        """Return whether an alias in the list is used elsewhere in the query."""
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
        renamed = {name_of(entry["key"]): entry["value"] for entry in one.get("rename_list", [])}
        without = [name_of(entry) for entry in one.get("exclude_list", [])]
        replaced = {}
        for entry in one.get("replace_list", []):
            name = entry["key"]
            replaced[name] = self._column({**entry["value"], "alias": f"{name} "})
        # A field with a type is computed by SQL; its cast value is passed on.
        cast = {
            name: self._column({**_column(self._shape.batch, name), "alias": f"{name} "})
            for name in self._names
            if spell_path((name,)) in self._types and name not in {*without, *replaced}
        }
        return AllFields(frozenset(without), renamed, replaced, cast)

    def _columns_of(self, table: str, one: Node, *, shared: bool = True) -> Iterator[Item]:
        """Read `*` of a joined table; DuckDB lists its columns."""
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
