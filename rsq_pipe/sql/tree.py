"""Tree: a query as parsed by DuckDB, and mistakes in it, with their place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Node: TypeAlias = dict[str, Any]
"""A part of a query, as serialised by `json_serialize_sql`."""

_NOWHERE = 2**63
"""Locations of parts that DuckDB has generated are larger."""

_COMPACT = "skip_null := true, skip_empty := true, skip_default := true"


_LOCATION = re.compile(r"\[(\d+),(\d+)\]")
"""Where DuckDB says that a mistake is: the byte it begins at, and how many there are."""


class SqlError(ValueError):
    """
    Describe a mistake in a query.

    Args:
        what: What is wrong.
        fix: What to do about it.
        at: Its offset in characters, from 0; None if unknown.
        key: The other setting that is wrong, such as a field under `types`.
    """

    def __init__(self, what: str, fix: str = "", at: int | None = None, key: tuple[str, ...] = ()) -> None:
        super().__init__(f"{what}; {fix}" if fix else what)
        self.what = what
        self.fix = fix
        self.at = at
        self.key = key

    @property
    def errors(self) -> tuple[SqlError, ...]:
        """All mistakes that were found: this one, where there is no other."""
        return (self,)


class SqlErrors(SqlError):  # noqa: N818  it is several
    """Several mistakes in one query, in their order; as an error, it is the first of them."""

    def __init__(self, errors: Iterable[SqlError]) -> None:
        unique = {(one.what, one.at, one.key): one for error in errors for one in error.errors}
        self._errors = tuple(sorted(unique.values(), key=lambda one: one.at or 0))
        first = self._errors[0]
        super().__init__(first.what, first.fix, first.at, first.key)

    @property
    def errors(self) -> tuple[SqlError, ...]:
        """All mistakes."""
        return self._errors


_BEHIND = ("Candidate", "LINE ", "Did you mean", "Either add", "Database is launched")
"""Prefixes of lines that only add to DuckDB's message."""


def parse(connection: DuckDBPyConnection, text: str) -> Node:
    """
    Parse a query.

    Raises:
        SqlError: It is not SQL, or not one SELECT.
    """
    found = _asked(connection, f"select json_serialize_sql(?::varchar, {_COMPACT})", text)
    if found["error"]:
        if found["error_type"] == "not implemented":
            raise SqlError(
                "the query is not a SELECT", "a stage makes records of records: write SELECT ...", 0
            )
        at = found.get("position")
        message = first_part(found["error_message"])
        raise SqlError(f"not SQL: {message}", "", _characters(text, int(at)) if at else None)
    statements = found.get("statements", [])
    if len(statements) != 1:
        raise SqlError(f"there are {len(statements)} statements", "write one SELECT", 0)
    statement: Node = statements[0]
    return statement


def written(connection: DuckDBPyConnection, statement: Node) -> str:
    """Convert a tree back to SQL."""
    whole = json.dumps({"error": False, "statements": [statement]})
    row = connection.execute("select json_deserialize_sql(?::json)", [whole]).fetchone()
    assert row is not None
    return str(row[0])


def bound(connection: DuckDBPyConnection, text: str) -> Node | None:
    """Have DuckDB resolve all names of a query; return its error, None if there is none."""
    found = _asked(connection, "select json_serialize_plan(?::varchar)", text)
    return found if found.get("error") else None


def place_of(text: str, error: Node) -> int | None:
    """Return the offset of the character that an error of `bound` points at."""
    at = error.get("position")
    return _characters(text, int(at)) if at else None


def covered(text: str, error: Node) -> str:
    """Put something harmless in place of what an error of `bound` is about; the same text if too short."""
    match = _LOCATION.fullmatch(str(error.get("location", "")))
    at, size = (int(match[1]), int(match[2])) if match else (0, 0)
    harmless = b"int" if error.get("type") == "Type" else b"null"
    if size < len(harmless):
        return text
    whole = text.encode()
    return (whole[:at] + harmless.ljust(size) + whole[at + size :]).decode()


def place(text: str, node: Node) -> int | None:
    """Return the offset of the first character of a part of a query."""
    at = node.get("query_location")
    return None if at is None or at >= _NOWHERE else _characters(text, at)


def begin(text: str, node: Node) -> int | None:
    """Return the offset of the first character of a part's first operand: for `a + 1` that of `a`."""
    return min((at for one in walk(node) if (at := place(text, one)) is not None), default=None)


def walk(node: Any) -> Iterator[Node]:
    """Yield all parts of a query, including those of its subqueries."""
    if isinstance(node, list):
        for one in node:
            yield from walk(one)
    elif isinstance(node, dict):
        yield node
        for one in node.values():
            yield from walk(one)


def walk_outer(node: Any) -> Iterator[Node]:
    """Yield the parts of a SELECT itself, without those of subqueries."""
    if isinstance(node, list):
        for one in node:
            yield from walk_outer(one)
    elif isinstance(node, dict):
        yield node
        for key, one in node.items():
            if key not in {"subquery", "cte_map"}:
                yield from walk_outer(one)


def first_part(message: str) -> str:
    """Return the first part of a DuckDB message; lists of functions, and the query, follow it."""
    lines = [line.strip() for line in message.split("\n")]
    kept = []
    for line in lines:
        if not line or line.startswith(_BEHIND):
            break
        kept.append(line)
    return " ".join(kept).replace("You might need to add explicit type casts.", "").strip(" .!")


def _asked(connection: DuckDBPyConnection, question: str, text: str) -> Node:
    row = connection.execute(question, [text]).fetchone()
    assert row is not None
    found: Node = json.loads(row[0])
    return found


def _characters(text: str, at: int) -> int:
    """Convert an offset in bytes, as DuckDB counts, to one in characters."""
    return len(text.encode()[:at].decode(errors="ignore"))
