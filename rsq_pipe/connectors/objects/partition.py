"""Partition: the values of fields that are in the names of parts, and the records of each."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from rsq_pipe.errors import EncodeError, without_frames
from rsq_pipe.model.batch import Batch

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""In a name: the field is null or empty text. It is what Hive writes for null."""

LONGEST = 200
"""Maximum bytes of a value in a name: a name has at most 1,024."""

# What Hive encodes in names, and what stores or shells take for something else.
_ENCODED = re.compile(r"""[\x00-\x20"#%&'()*+,/:;<=>?@\[\\\]^`{|}~\x7f]""")


def divide(
    batch: Batch, places: Iterable[int], fields: Sequence[str]
) -> tuple[dict[tuple[str, ...], list[int]], dict[int, Exception]]:
    """
    Divide records by the values of fields.

    Returns:
        The values, as they are in names -> the places of their records; and place -> why, for records whose
        values cannot be in a name.
    """
    found: dict[tuple[str, ...], list[int]] = {}
    failed: dict[int, Exception] = {}
    known: dict[str, str] = {}  # a batch has few values
    for place in places:
        record = batch.records[place]
        try:
            values = tuple(_text(record, field, known) for field in fields)
        except EncodeError as exc:
            failed[place] = without_frames(exc)
        else:
            found.setdefault(values, []).append(place)
    return found, failed


def _text(record: Any, field: str, known: dict[str, str]) -> str:
    if not isinstance(record, dict) or field not in record:
        raise EncodeError(f"there is no field {field!r}, which `partition_by` names", record)
    value = record[field]
    if type(value) is not str:
        return _spelled(field, value, record)
    text = known.get(value)
    if text is None:
        text = known[value] = _spelled(field, value, record)
    return text


def _spelled(field: str, value: Any, record: Any) -> str:
    if value is None or value == "":
        return NO_VALUE
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        shown = value if isinstance(value, float) else f"a {type(value).__name__}"
        raise EncodeError(f"field {field!r} is {shown}, which cannot be in the name of a part", record)
    try:
        text = _ENCODED.sub(lambda found: f"%{ord(found[0]):02X}", str(value))
        size = len(text.encode())
    except UnicodeEncodeError:
        raise EncodeError(f"field {field!r} is text that is not Unicode", record) from None
    if size > LONGEST:
        raise EncodeError(
            f"field {field!r} has {size:,} bytes in the name of a part, where {LONGEST} are allowed; "
            "partition by something shorter",
            record,
        )
    return "%2E" + text[1:] if text in {".", ".."} else text
