"""Encoding: writes a batch of records as CSV rows, under a header if they are the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rsq_pipe.connectors.csv.rows import Extra, Formulas, Missing, Rows
from rsq_pipe.connectors.record_id import FIELD, named
from rsq_pipe.errors import EncodeError, without_frames
from rsq_pipe.model.batch import Batch


class CsvSettings(Protocol):
    """The settings needed to write CSV."""

    @property
    def delimiter(self) -> str:
        """The character between two fields."""
        ...

    @property
    def formulas(self) -> Formulas:
        """How text that a spreadsheet would run is treated."""
        ...

    @property
    def fields(self) -> tuple[str, ...] | None:
        """The columns; None for those of the first record."""
        ...

    @property
    def extra(self) -> Extra:
        """How a record is treated that has a field without a column."""
        ...

    @property
    def missing(self) -> Missing:
        """How a record is treated that lacks a column's field."""
        ...


class Encoding:
    """
    Make rows from records.

    Args:
        settings: The format.
        rid: Whether each row includes its record id.
    """

    def __init__(self, settings: CsvSettings, *, rid: bool) -> None:
        self._settings = settings
        self._rid = rid
        given = settings.fields
        self.given = given if given is None or not rid or FIELD in given else (FIELD, *given)
        """The columns, if they are configured."""

    def rows(
        self, batch: Batch, fields: tuple[str, ...] | None, *, header: bool
    ) -> tuple[bytes, dict[int, Exception], tuple[str, ...]]:
        """
        Make the rows of a batch.

        Args:
            batch: The records.
            fields: The columns, if they are known.
            header: Whether the rows begin with the columns' names.

        Returns:
            The rows; place -> why, for records that cannot be rows; the columns.
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
        """Take the fields of the first record that can be written; others have no influence."""
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
