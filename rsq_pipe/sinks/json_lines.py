"""json_lines: a batch of records as lines of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rsq_pipe.errors import EncodeError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.finite import not_finite

_encoder = msgspec.json.Encoder()
# TypeError: JSON has no such value. ValueError: text that is not Unicode (a lone surrogate).
_CANNOT = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)


def json_lines(batch: Batch) -> tuple[bytes, dict[int, Exception]]:
    """
    Write each record as one line of JSON.

    Returns:
        The lines, and for each record that cannot be written, its place and why.
    """
    records = batch.records
    try:
        lines = _encoder.encode_lines(records)
    except _CANNOT:
        return _one_by_one(records)
    # msgspec writes NaN as null, which would change the record in silence. Where all nulls are plain ones,
    # there is none.
    if b"null" in lines and lines.count(b"null") != _nulls(records) and any(map(not_finite, records)):
        return _one_by_one(records)
    return lines, {}


def _nulls(records: Sequence[Any]) -> int:
    """Count the nulls that the lines hold if no value is NaN, none is nested and no text says "null"."""
    return sum(list(record.values()).count(None) for record in records if type(record) is dict)


def _one_by_one(records: Sequence[Any]) -> tuple[bytes, dict[int, Exception]]:
    lines: list[bytes] = []
    failures: dict[int, Exception] = {}
    for place, record in enumerate(records):
        try:
            if path := not_finite(record):
                raise ValueError(f"{path} is not a finite number")
            lines.append(_encoder.encode(record) + b"\n")
        except _CANNOT as exc:
            failures[place] = EncodeError(f"the record cannot be written as JSON: {exc}", record)
    return b"".join(lines), failures
