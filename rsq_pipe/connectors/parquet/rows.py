"""Rows: records as the lines from which a Parquet file is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from rsq_pipe.connectors.jsonl.json_lines import json_lines
from rsq_pipe.connectors.parquet.columns import Columns, ColumnType, Extra
from rsq_pipe.connectors.parquet.writing import Compression
from rsq_pipe.errors import EncodeError
from rsq_pipe.model.batch import Batch

ColumnTypes = Annotated[
    dict[Annotated[str, Field(min_length=1)], ColumnType] | None,
    Field(
        min_length=1,
        description="The columns, in order, with their types: `str`, `int`, `float`, `bool`, `date`, "
        "`datetime` (in UTC), `decimal(18,2)` or `json` (text). A record that does not fit becomes a dead "
        "letter. Default: the fields of the part's records, with the types of their values.",
    ),
]
ExtraFields = Annotated[
    Extra,
    Field(
        description="With `columns`: what happens to a record with another field: it fails, or is written "
        "without it."
    ),
]
Packed = Annotated[Compression, Field(description="How the pages of a file are packed.")]


class RowLines:
    """
    Make lines of JSON from records that can be rows.

    Args:
        types: Column -> type; None to infer them.
        extra: Whether a field without a column is an error.
        rid: Whether each record is written with its record id.
    """

    def __init__(self, types: Mapping[str, str] | None, extra: Extra, *, rid: bool) -> None:
        self._columns = Columns(types, extra, rid=rid) if types else None
        self._rid = rid

    @property
    def types(self) -> Mapping[str, str] | None:
        """The configured types, including that of the record id."""
        return self._columns.types if self._columns else None

    def of(self, batch: Batch) -> tuple[bytes, dict[int, Exception]]:
        """Return the lines, and the records that cannot be rows: place -> why."""
        if self._columns is not None:
            return self._columns.lines(batch)
        bare = [place for place, record in enumerate(batch.records) if not record or type(record) is not dict]
        if not bare:
            return json_lines(batch, rid=self._rid)
        rest = [place for place in range(len(batch)) if place not in set(bare)]
        lines, failures = json_lines(batch.only(rest), rid=self._rid)
        errors = {rest[place]: why for place, why in failures.items()}
        for place in bare:
            errors[place] = EncodeError("a row needs a record with at least one field", batch.records[place])
        return lines, errors
