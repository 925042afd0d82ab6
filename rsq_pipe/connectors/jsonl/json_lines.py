"""json_lines: writes a batch of records as lines of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rsq_pipe.connectors.record_id import named
from rsq_pipe.errors import EncodeError, without_frames
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.finite import may_hold_null, not_finite
from rsq_pipe.model.line_records import LineRecords
from rsq_pipe.streams.wording import unwritable

_encoder = msgspec.json.Encoder()
# TypeError: JSON has no such value. ValueError: text that is not Unicode (a lone surrogate).
_CANNOT = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)


def json_lines(batch: Batch, *, rid: bool = False) -> tuple[bytes, dict[int, Exception]]:
    """
    Write each record as one line of JSON.

    Args:
        batch: The records.
        rid: Whether each line includes its record's id.

    Returns:
        The lines, and for each record that cannot be written, its place and the reason.
    """
    if not rid and isinstance(batch.records, LineRecords) and (written := batch.records.lines) is not None:
        return written, {}
    try:
        records = list(map(named, batch.records, batch.rids)) if rid else batch.records
        lines = _encoder.encode_lines(records)
    except (EncodeError, *_CANNOT):
        return _one_by_one(batch, rid=rid)
    # msgspec writes NaN as null, which would change the record silently. If the number of nulls is what
    # ordinary ones account for, there is no NaN.
    if may_hold_null(lines) and lines.count(b"null") != _nulls(records) and any(map(not_finite, records)):
        return _one_by_one(batch, rid=rid)
    return lines, {}


def json_rows(batch: Batch, *, rid: bool = False) -> tuple[dict[int, bytes], dict[int, Exception]]:
    """Do the same, and return the lines by the places of their records, without their ends."""
    lines, failures = json_lines(batch, rid=rid)
    places = [place for place in range(len(batch)) if place not in failures]
    return dict(zip(places, lines.split(b"\n"), strict=False)), failures


def _nulls(records: Sequence[Any]) -> int:
    """Count the nulls that the lines hold if no value is NaN, none is nested and no text says "null"."""
    return sum(list(record.values()).count(None) for record in records if type(record) is dict)


def _one_by_one(batch: Batch, *, rid: bool) -> tuple[bytes, dict[int, Exception]]:
    lines: list[bytes] = []
    failures: dict[int, Exception] = {}
    for place, record in enumerate(batch.records):
        try:
            path = not_finite(record)
            why = f"{path} is not a finite number" if path else ""
            line = _encoder.encode(named(record, batch.rids[place]) if rid else record) + b"\n"
        except EncodeError as exc:
            failures[place] = without_frames(exc)
            continue
        except _CANNOT:
            why, line = unwritable(record, _encoder.encode, "JSON"), b""
        if why:
            failures[place] = EncodeError(f"the record cannot be written as JSON: {why}", record)
        else:
            lines.append(line)
    return b"".join(lines), failures
