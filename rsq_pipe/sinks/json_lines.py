"""json_lines: a batch of records as lines of JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from rsq_pipe.errors import EncodeError, without_frames
from rsq_pipe.sinks.record_id import named
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.serializers import not_finite
from rsq_pipe.streams.wording import unwritable

_encoder = msgspec.json.Encoder()
_DATA: Callable[[StreamMessage], Any] = attrgetter("data")
# TypeError: JSON has no such value. ValueError: text that is not Unicode (a lone surrogate).
_CANNOT = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)


def json_lines(batch: Sequence[StreamMessage], *, rid: bool = False) -> tuple[bytes, dict[int, Exception]]:
    """
    Write each record as one line of JSON.

    Args:
        batch: The records.
        rid: Whether each is written with its record id.

    Returns:
        The lines, and for each record that cannot be written, its index and why.
    """
    record = named if rid else _DATA
    try:
        lines = _encoder.encode_lines([record(message) for message in batch])
    except (EncodeError, *_CANNOT):
        return _one_by_one(batch, record)
    # msgspec writes NaN as null, which would change the record in silence.
    if b"null" in lines and any(not_finite(message.data) for message in batch):
        return _one_by_one(batch, record)
    return lines, {}


def _one_by_one(
    batch: Sequence[StreamMessage], record: Callable[[StreamMessage], Any]
) -> tuple[bytes, dict[int, Exception]]:
    lines: list[bytes] = []
    failures: dict[int, Exception] = {}
    for index, message in enumerate(batch):
        try:
            path = not_finite(message.data)
            why = f"{path} is not a finite number" if path else ""
            line = _encoder.encode(record(message)) + b"\n"
        except EncodeError as exc:
            failures[index] = without_frames(exc)
            continue
        except _CANNOT:
            why, line = unwritable(message.data, _encoder.encode, "JSON"), b""
        if why:
            failures[index] = EncodeError(f"the record cannot be written as JSON: {why}", message.data)
        else:
            lines.append(line)
    return b"".join(lines), failures
