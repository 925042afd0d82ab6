"""Statement: the query of a stage, run so that each record's result is independent of the others."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from rsq_pipe.model.outcome import MAX_CHILDREN
from rsq_pipe.sql.database import duckdb
from rsq_pipe.sql.fields import Fields, resolve
from rsq_pipe.sql.layout import builder, value_at
from rsq_pipe.sql.natural import natural
from rsq_pipe.sql.query import Query, TooManyRowsError, query
from rsq_pipe.sql.rules import Shape
from rsq_pipe.sql.tree import first_part
from rsq_pipe.sql.values import kind, one_kind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_KEPT = 200
"""Maximum combinations of types whose SQL is cached."""

_Row = tuple[Any, ...]


class Made(Struct):
    """
    Hold the results of a query.

    Args:
        records: Place of a record -> the records made from it, if any.
        failed: Place of a record -> its error.
    """

    records: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


class Statement:
    """
    Run a query with the current tables that it joins; not thread-safe.

    The types of a record's fields are inferred from that record alone. Records of one batch with the same
    types are handled together, others separately, so that none depends on its neighbours.

    Args:
        connection: The database with these tables.
        shape: The query.
        types: Field -> its declared type, if any.

    Raises:
        SqlError: The query is invalid.
    """

    def __init__(self, connection: DuckDBPyConnection, shape: Shape, types: Mapping[str, str]) -> None:
        self._connection = connection
        self.fields: Fields = resolve(connection, shape, types)
        self._types = {column: types[column] for column in self.fields.paths if column in types}
        self._natural = {column: natural(connection, of) for column, of in self._types.items()}
        self._queries: dict[tuple[str, ...], Query] = {}
        self._build = builder(self.fields.layout)
        self._library = duckdb()

    def run(self, records: Sequence[dict[str, Any]], places: Sequence[int]) -> Made:
        """Handle the records at some places."""
        made = Made()
        columns = {
            column: [value_at(records[place], path) for place in places]
            for column, path in self.fields.paths.items()
        }
        for kinds, at in self._groups(columns, places, made):
            alike = at is None
            some = list(places) if at is None else [places[one] for one in at]
            values = columns if alike else {c: [v[one] for one in at or ()] for c, v in columns.items()}
            self._part(records, some, kinds, values, made)
        return made

    def _groups(
        self, columns: Mapping[str, list[Any]], places: Sequence[int], made: Made
    ) -> list[tuple[tuple[str, ...], list[int] | None]]:
        """Group records by the types of their fields; None instead of the places if all are in one group."""
        uniform = {column: self._one_kind(column, values) for column, values in columns.items()}
        if None not in uniform.values():
            return [(tuple(str(kind_) for kind_ in uniform.values()), None)]
        groups: dict[tuple[str, ...], list[int]] = {}
        for at, place in enumerate(places):
            kinds: list[str] = []
            for column, values in columns.items():
                try:
                    kinds.append(uniform[column] or self._kind(column, values[at]))
                except ValueError as exc:
                    made.failed[place] = f"field {column!r} {exc}"
                    break
            else:
                groups.setdefault(tuple(kinds), []).append(at)
        return list(groups.items())

    def _one_kind(self, column: str, values: list[Any]) -> str | None:
        found = one_kind(values)
        if found is None and column in self._natural:
            found = one_kind([value for value in values if value is not None])
            return found if found == self._natural[column] else None
        return self._natural.get(column, found) if found == "NULL" else found

    def _kind(self, column: str, value: Any) -> str:
        return self._natural[column] if value is None and column in self._natural else kind(value)

    def _part(
        self,
        records: Sequence[dict[str, Any]],
        places: Sequence[int],
        kinds: tuple[str, ...],
        values: Mapping[str, Sequence[Any]],
        made: Made,
    ) -> None:
        """Handle records of the same types; on an error each half separately, down to single records."""
        try:
            found = self._query(kinds, values)
        except (ValueError, self._library.Error) as exc:  # fails for all of them: the types are wrong
            self._check_not_stopped(exc)
            made.failed |= dict.fromkeys(places, self._message(exc, kinds, {}))
            return
        try:
            rows = found.rows(self._connection, len(places), values)
            self._put(records, places, found, rows, made)
        except (ValueError, TooManyRowsError, self._library.Error) as exc:
            self._check_not_stopped(exc)
            if len(places) == 1:
                made.failed[places[0]] = self._message(exc, kinds, values)
                return
            half = len(places) // 2
            for some in (slice(half), slice(half, None)):
                part = {column: list(value[some]) for column, value in values.items()}
                self._part(records, places[some], kinds, part, made)

    def _query(self, kinds: tuple[str, ...], values: Mapping[str, Sequence[Any]]) -> Query:
        if kinds not in self._queries:
            if len(self._queries) >= _KEPT:
                self._queries.clear()
            of = dict(zip(values, kinds, strict=True))
            self._queries[kinds] = query(self._connection, self.fields, of, self._types)
        return self._queries[kinds]

    def _check_not_stopped(self, error: BaseException) -> None:
        """Raise an error that concerns no record: the query was interrupted, or DuckDB has broken."""
        library = self._library
        if isinstance(error, library.InterruptException | library.FatalException | library.InternalException):
            raise error

    def _put(
        self,
        records: Sequence[dict[str, Any]],
        places: Sequence[int],
        found: Query,
        rows: list[_Row],
        made: Made,
    ) -> None:
        """Build records from rows, in the order of the input records."""
        first = self.fields.numbers + 1
        rows = self._ordered(rows, first)
        of = [row[0] for row in rows]
        if len(of) > MAX_CHILDREN and (most := max(Counter(of).values())) > MAX_CHILDREN:
            raise ValueError(
                f"it becomes {most:,} records; the bound is {MAX_CHILDREN:,}, since they are written at once"
            )
        columns = list(zip(*rows, strict=True))[first:] if rows else []
        for at, read in enumerate(found.readers if rows else ()):
            if read is not None:
                columns[at] = self._read(at, read, columns[at])
        values = list(zip(*columns, strict=True)) if columns else [()] * len(rows)
        built = self._build([records[places[at]] for at in of], values)
        before = -1
        for at, record in zip(of, built, strict=True):
            if at == before:
                # They must not share lists and mappings, which a handler below may modify.
                made.records[places[at]].append(copy.deepcopy(record))
            else:
                made.records[places[at]] = [record]
            before = at

    def _read(self, at: int, read: Any, values: Sequence[Any]) -> tuple[Any, ...]:
        try:
            return tuple([None if value is None else read(value) for value in values])
        except ValueError as exc:
            name = self._name(at)
            raise ValueError(f"field {name!r} {exc}") from exc

    def _name(self, at: int) -> str:
        """Return the name of a computed column."""
        for item in self.fields.layout:
            if getattr(item, "at", None) == at:
                return str(getattr(item, "name", ""))
            for name, place in {**getattr(item, "replaced", {}), **getattr(item, "cast", {})}.items():
                if place == at:
                    return str(name)
        return f"column {at + 1}"

    def _ordered(self, rows: list[_Row], first: int) -> list[_Row]:
        """Sort rows in the order of the records, those of one record in the order of the files' rows."""
        places = [row[0] for row in rows]
        if self.fields.by_content:
            return sorted(rows, key=lambda row: (*map(_numbered, row[:first]), *map(repr, row[first:])))
        if first > 1:
            return sorted(rows, key=lambda row: tuple(map(_numbered, row[:first])))
        return rows if places == sorted(places) else sorted(rows, key=lambda row: int(row[0]))

    def _message(self, error: Exception, kinds: Sequence[str], values: Mapping[str, Sequence[Any]]) -> str:
        """Describe why a record failed; for a wrong type, with the field."""
        if isinstance(error, TooManyRowsError):
            return f"it becomes more than {MAX_CHILDREN:,} records"
        message = first_part(str(error))
        if isinstance(error, self._library.ConversionException):
            for column, of in self._types.items():
                value = next(iter(values.get(column, ())), None)
                try:
                    self._connection.execute(f"select ?::{kinds[list(values).index(column)]}::{of}", [value])
                except (ValueError, self._library.Error):
                    return f"field {column!r} is not of type {of}: {message}"
        return message


def _numbered(number: Any) -> tuple[bool, Any]:
    """Sort null first."""
    return number is not None, number
