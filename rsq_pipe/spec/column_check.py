"""Column check: compares the columns of a sink's table with the fields of the records that it writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.record_id import FIELD
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.known_fields import Known
from rsq_pipe.suggestion import first_of, near, one_of, suggest


def report_columns(document: Document, stage: Stage, table: Sequence[Column], known: Known | None) -> None:
    """
    Report what of a sink and its table does not fit, if that would fail each record.

    Args:
        stage: The sink.
        table: The columns of the table.
        known: What is known about the records; None if nothing is.
    """
    check = _Check(document, stage, table)
    meant = check.named()
    if check.options.columns is not None:
        check.left_out(known, meant)
    elif known is not None:
        check.fields(known)


class _Check:
    """Compare the settings of one sink, and its records, with a table."""

    def __init__(self, document: Document, stage: Stage, table: Sequence[Column]) -> None:
        self.options: Any = stage.options.options
        self._document = document
        self._path: Path_ = ("stages", stage.name, "sink")
        self._table = table
        self._copies = self.options.mode == "append"
        self._names = [column.name for column in table]
        self._what = f"table {self.options.table!r}"

    def named(self) -> set[str]:
        """Report columns of the settings that the table lacks or computes; return those that are meant."""
        wanted = dict(self._written())
        meant = set[str]()
        for path, name in wanted.items():
            if name not in self._names:
                what, key = f"{self._what} has no column {name!r}", path[-2:-1] == ("columns",)
                self._report(path, what, suggest(name, self._names), key=key)
                meant.add(near(name, self._names) or "")
        for column in self._table:
            path = (*self._path, "columns", column.name)
            if path in wanted and column.is_computed and not (column.is_identity and self._copies):
                self._report(
                    path, f"column {column.name!r} of {self._what} is computed", "remove it", key=True
                )
        if self.options.rid and FIELD not in (*self._names, *wanted.values()):
            fix = "add one that holds text, or leave `rid` out"
            self._report((*self._path, "rid"), f"{self._what} has no column {FIELD!r}", fix)
        return meant

    def left_out(self, known: Known | None, meant: set[str]) -> None:
        """Report columns that are not in `columns`, and must have a value; those meant have been reported."""
        columns = {*self.options.columns, *meant}
        for column in self._table:
            if column.needs_value and column.name not in columns and not self._is_rid(column.name):
                what = f"column {column.name!r} of {self._what} may not be null and has no default"
                field = near(column.name, known.fields if known else ()) or "FIELD"
                path = (*self._path, "columns")
                self._report(path, f"{what}, and `columns` leaves it out", f"add `{column.name}: {field}`")

    def fields(self, known: Known) -> None:
        """Report fields without a column, and columns without a field."""
        unfilled = {column.name: column for column in self._table if self._stays_empty(column, known)}
        if self.options.extra == "error":
            for name in known.fields:
                if name in known.always and not self._is_rid(name):
                    self._report_extra(name, known, unfilled)
        for column in unfilled.values():
            what = f"no record has a field for column {column.name!r} of {self._what}, by {known.origin}"
            if column.needs_value:
                what += "; it may not be null and has no default"
            like = near(column.name, known.fields)
            fix = f"did you mean {like!r}? " if like else ""
            fix += "name all columns that get a value in `columns`" if column.needs_value else _EMPTY
            self._report((*self._path, "table"), what, fix, known)

    def _report_extra(self, name: str, known: Known, unfilled: dict[str, Column]) -> None:
        """Report a field if it has no column; the column that it is meant for is then reported with it."""
        column = next((one for one in self._table if one.name == name), None)
        ignore = "set `extra: ignore` to leave it out"
        if column is not None:
            if column.is_computed:
                what = f"each record has a field {name!r}, by {known.origin}"
                what += f", and column {name!r} of {self._what} is computed"
                self._report((*self._path, "table"), what, f"remove the field, or {ignore}", known)
            return
        meant = near(name, unfilled)
        unfilled.pop(meant or "", None)
        like = meant or near(name, self._names)
        what = f"each record has a field {name!r}, by {known.origin}, and {self._what} has no such column"
        has = one_of(first_of(self._names), "and")
        fix = f"did you mean {like!r}? Rename one of the two" if like else f"it has {has}: add a column"
        self._report((*self._path, "table"), what, f"{fix}, or {ignore}", known)

    def _stays_empty(self, column: Column, known: Known) -> bool:
        """Return whether each record fails since it has no field for a column."""
        if column.is_computed or column.fills_itself or self._is_rid(column.name):
            return False
        if column.name in self.options.key or known.has(column.name):  # those of the key are checked anyway
            return False
        return bool(self.options.missing == "error" or column.needs_value)

    def _is_rid(self, name: str) -> bool:
        return bool(self.options.rid) and name == FIELD

    def _written(self) -> Iterator[tuple[Path_, str]]:
        """Yield the names of columns in the settings, each with its path."""
        columns = self.options.columns or ()
        yield from (((*self._path, "columns", name), name) for name in columns)
        if self.options.version and self.options.version not in columns:
            yield (*self._path, "version"), self.options.version
        for place, name in enumerate(self.options.key):
            if name not in columns:
                yield (*self._path, "key", place), name

    def _report(
        self, path: Path_, what: str, fix: str, known: Known | None = None, *, key: bool = False
    ) -> None:
        firm = known is None or known.firm
        self._document.report(path, what, fix, key=key, severity="error" if firm else "warning", part=what)


_EMPTY = "set `missing: empty` to leave it null, or name the other columns in `columns`"
