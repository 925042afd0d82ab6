"""JSON objects: reads a line of JSON, if it is one unambiguous object."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from rsq_pipe.streams.unique_keys import unique_keys
from rsq_pipe.streams.wording import unreadable

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

UNREADABLE = (ValueError, RecursionError, msgspec.DecodeError)
"""Errors raised by `parse`."""


def parse(raw: bytes) -> dict[str, Any]:
    """
    Read one JSON object.

    Raises:
        ValueError, RecursionError: The bytes are not one JSON object, or not an
            unambiguous one: a key occurs twice, or a number is out of range.
    """
    try:
        record = _decode(raw)
    except msgspec.DecodeError as exc:
        raise ValueError(f"it is not JSON: {unreadable(exc, raw)}") from exc
    if type(record) is not dict:
        raise ValueError(f"not a JSON object but {_kind(record)}")
    # As many colons as keys: none was lost, as each key has one, and no text contains one.
    if raw.count(b":") == len(record):
        return record
    # The parser silently lets the last of two equal keys win. A lost key means two lost quotes, and nothing
    # else changes their number, except a quote spelled \u0022: equal numbers prove that no key was lost.
    if raw.count(b'"') != _encode(record).count(b'"') or b"\\u0022" in raw:
        json.loads(raw, object_pairs_hook=unique_keys)
    return record


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
