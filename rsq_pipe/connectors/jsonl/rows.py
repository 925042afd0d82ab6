"""Rows of lines: JSON objects of the same fields, read without a dict of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from rsq_pipe.connectors.jsonl.json_object import UNREADABLE
from rsq_pipe.model.row_records import MOST_NAMES, RowRecords

_decode = msgspec.json.Decoder().decode
_encode_lines = msgspec.json.Encoder().encode_lines

_ReadLines: TypeAlias = Callable[[bytes], list[msgspec.Struct]]


def rows_of(data: bytes) -> RowRecords | None:
    """
    Read lines that all hold the fields of the first, each once, in its order, and in our spelling.

    Returns:
        The records; None if that is not certain.
    """
    try:
        first = _decode(data[: data.index(b"\n")])
        if type(first) is not dict:
            return None
        names = tuple(first)
        read = _reader(names)
        found = read(data) if read is not None else []
    except UNREADABLE:
        return None
    return RowRecords(names, [*map(msgspec.structs.astuple, found)]) if _is_of(found, data) else None


def _is_of(found: list[msgspec.Struct], data: bytes) -> bool:
    """
    Return whether lines hold nothing but the values read from them, except for spaces.

    Spaces occur only between the parts of an object or within a text. So lines that are equal without spaces
    have the same keys in the same order, as no key contains one.
    """
    encoded = _encode_lines(found)
    return encoded == data or encoded.replace(b" ", b"") == data.replace(b" ", b"")


@lru_cache(maxsize=64)
def _reader(names: tuple[str, ...]) -> _ReadLines | None:
    """Make the reader of lines with these fields and no others; None if there can be none."""
    if not 0 < len(names) <= MOST_NAMES or any(" " in name for name in names):
        return None
    # Objects of one type are decoded in little more than half the time of dicts.
    fields = [(f"field_{place}", Any) for place in range(len(names))]
    rename = {field: name for (field, _), name in zip(fields, names, strict=True)}
    try:
        made = msgspec.defstruct("Line", fields, rename=rename, forbid_unknown_fields=True, gc=False)
    except ValueError:  # such as a name with a quote
        return None
    return msgspec.json.Decoder(made).decode_lines
