"""Names: which fields of the records a query names, and what is wrong with its names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rsq_pipe.sql.database import named
from rsq_pipe.sql.layout import spell_path
from rsq_pipe.sql.rules import BATCH, Shape
from rsq_pipe.sql.tree import Node, SqlError, SqlErrors, bound, covered, first_part, place, place_of, walk
from rsq_pipe.suggestion import near

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

_NO_SUCH_NAME = {"COLUMN_NOT_FOUND", "MISSING_ENTRY", "NO_MATCHING_FUNCTION"}
_UNKNOWN_COLUMN = re.compile('does not have a column named "([^"]+)"(.*)', re.DOTALL)
"""What DuckDB says of a column that a file does not have, and which it has."""


def field_names(connection: DuckDBPyConnection, shape: Shape, types: Mapping[str, str]) -> dict[str, None]:
    """
    Find the fields at the top of the records that a query names: the names that nothing else has.

    DuckDB is asked, with none at first; it says which it lacks.

    Raises:
        SqlError: DuckDB finds something else that is wrong; all that is wrong, as far as it can be told.
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
    text, wrong = shape.text, list[SqlError]()
    for _ in range(MOST_FIELDS):
        _view(connection, found, types, _ASSUMED[0])
        error = bound(connection, text)
        if error is None:
            break
        name = _lacked(shape, error, using)
        if name is not None and name not in found:
            found[name] = None
            continue
        if _is_right_with_types(connection, text, types, found, error):
            break
        # Of what else DuckDB finds once the first mistakes are covered, some may only follow from that.
        if not wrong or _is_certain(error):
            wrong.append(_mistake(shape, types, found, error))
        text, before = covered(text, error), text
        if text == before:
            break
    else:
        raise SqlError(f"the query names more than {MOST_FIELDS} fields", "use several stages", 0)
    if wrong:
        raise SqlErrors(wrong)
    return found


def _in_stars(shape: Shape) -> Iterator[str]:
    """Yield the fields that `*` leaves out, replaces or renames."""
    for one in shape.node["select_list"]:
        if one.get("class") == "STAR" and one.get("relation_name", "").lower() in {"", shape.batch.lower()}:
            yield from (name_of(entry) for entry in one.get("exclude_list", []))
            yield from (entry["key"] for entry in one.get("replace_list", []))
            yield from (name_of(entry["key"]) for entry in one.get("rename_list", []))


def name_of(entry: Any) -> str:
    """Read a name that `*` leaves out or renames."""
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


def _is_right_with_types(
    connection: DuckDBPyConnection,
    text: str,
    types: Mapping[str, str],
    found: Mapping[str, None],
    error: Node,
) -> bool:
    """Return whether nothing is wrong with a query if its fields are of some type."""
    if error.get("error_type") != "binder" or "error_subtype" in error or _are_typed(types, found):
        return False
    for assumed in _ASSUMED[1:]:
        _view(connection, found, types, assumed)
        if bound(connection, text) is None:
            return True
    return False


def _is_certain(error: Node) -> bool:
    """Return whether a name is wrong, whatever the types of the fields are."""
    return error.get("error_subtype") in _NO_SUCH_NAME or bool(_UNKNOWN_COLUMN.search(error["error_message"]))


def _are_typed(types: Mapping[str, str], found: Mapping[str, None]) -> bool:
    return all(name in types for name in found)


def _mistake(shape: Shape, types: Mapping[str, str], found: Mapping[str, None], error: Node) -> SqlError:
    fix = ""
    if error.get("error_subtype") == "COLUMN_NOT_FOUND":
        fix = f"in a subquery, a field is {shape.batch}.{error['name']}"
    elif error.get("candidates") and "Did you mean" in error["error_message"]:
        match = near(str(error.get("name")), str(error["candidates"]).split(","))
        fix = f"did you mean {match!r}?" if match else ""
    elif column := _UNKNOWN_COLUMN.search(error["error_message"]):
        match = near(column[1], re.findall('"([^"]+)"', column[2]))
        fix = f"did you mean {match!r}?" if match else ""
    elif (
        error.get("error_type") == "binder"
        and not _are_typed(types, found)
        and "function" in error["error_message"]
    ):
        fix = "correct the call, or declare the types of its fields under `types`"
    return SqlError(first_part(error["error_message"]), fix, place_of(shape.text, error))


def _view(
    connection: DuckDBPyConnection, found: Mapping[str, None], types: Mapping[str, str], assumed: str
) -> None:
    columns = [f"null::{types.get(spell_path((name,)), assumed)} as {named(name)}" for name in found]
    columns = [one.replace('null::"NULL"', "null") for one in columns]
    selected = ", ".join([f"null::BIGINT as {PLACE}", *columns])
    connection.execute(f"create or replace temp view {BATCH} as select {selected}")
