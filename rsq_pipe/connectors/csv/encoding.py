"""Encoding: a batch of records as rows of csv, under a header where they are the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rsq_pipe.connectors.csv.rows import Extra, Formulas, Missing, Rows
from rsq_pipe.connectors.record_id import FIELD, named
from rsq_pipe.errors import EncodeError, without_frames
from rsq_pipe.model.batch import Batch


class CsvSettings(Protocol):
    """The settings of whoever writes csv."""

    @property
    def delimiter(self) -> str:
        """What stands between two fields."""
        ...

    @property
    def formulas(self) -> Formulas:
        """What is done with text that a spreadsheet would run."""
        ...

    @property
    def fields(self) -> tuple[str, ...] | None:
        """The columns; None for those of the first record."""
        ...

    @property
    def extra(self) -> Extra:
        """What a record is that has a field without a column."""
        ...

    @property
    def missing(self) -> Missing:
        """What a record is that lacks a column's field."""
        ...


class Encoding:
    """
    Make rows of records.

    Args:
        settings: How.
        rid: Whether each is written with its record id.
    """

    def __init__(self, settings: CsvSettings, *, rid: bool) -> None:
        self._settings = settings
        self._rid = rid
        given = settings.fields
        self.given = given if given is None or not rid or FIELD in given else (FIELD, *given)
        """The columns, where they are stated."""

    def rows(
        self, batch: Batch, fields: tuple[str, ...] | None, *, header: bool
    ) -> tuple[bytes, dict[int, Exception], tuple[str, ...]]:
        """
        Make the rows of a batch.

        Args:
            batch: The records.
            fields: The columns, where they are known.
            header: Whether the rows begin with the columns' names.

        Returns:
            The rows; place -> why, of records that cannot be one; the columns.
        """
        fields = fields or self._fields_of_first(batch)
        rows = self._made(fields)
        if fields and header:
            rows.add_header()
        failures = {} if not self._rid and rows.add_all(batch.records) else self._each(batch, rows)
        return rows.data(), failures, fields

    def _made(self, fields: Sequence[str]) -> Rows:
        settings = self._settings
        more = {"delimiter": settings.delimiter, "formulas": settings.formulas}
        return Rows(fields, settings.extra, settings.missing, **more)  # type: ignore[arg-type]

    def _each(self, batch: Batch, rows: Rows) -> dict[int, Exception]:
        """Add the records one by one; return those that cannot be rows."""
        failures: dict[int, Exception] = {}
        for place, record in enumerate(batch.records):
            try:
                rows.add(named(record, batch.rids[place]) if self._rid else record)
            except EncodeError as exc:
                failures[place] = without_frames(exc)
        return failures

    def _fields_of_first(self, batch: Batch) -> tuple[str, ...]:
        """Take the fields of the first record that can be written; one that cannot leaves no trace."""
        for record, rid in zip(batch.records, batch.rids, strict=True):
            try:
                shown = named(record, rid) if self._rid else record
                fields = tuple(shown) if isinstance(shown, dict) else ()
                trial = self._made(fields)
                trial.add_header()
                trial.add(shown)
            except EncodeError:
                continue
            return fields
        return ()
