"""Members: keys of records as a set on the server holds them, short and in one form."""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec

from rsq_pipe.spec.record_key import RecordKey
from rsq_pipe.verbs.picking import Record, found

SIZE = 16
"""Bytes of a member, at most: a key is its JSON, or a digest of that."""

_encode = msgspec.json.Encoder(order="deterministic").encode


def member_maker(key: RecordKey) -> Callable[[Record], bytes]:
    """
    Make the function that tells the member for a record's key.

    1 and 1.0 are one key, "1" and true are others; the order of a mapping's fields does not matter. It raises
    MissingFieldError for a field that is not there, ValueError for a key that is null, or no value of JSON,
    and whatever an expression raises.
    """
    if key.expression is not None:
        evaluate = key.expression.evaluate
        return lambda record: member_of(evaluate(record))
    if len(key.fields) == 1:
        (field,) = key.fields
        if len(field) == 1:
            (name,) = field
            return lambda record: member_of(record[name] if name in record else found(record, field))
        return lambda record: member_of(found(record, field))
    return lambda record: _of_several([found(record, field) for field in key.fields])


def _of_several(values: list[Any]) -> bytes:
    return member_of(None if all(value is None for value in values) else values)


def member_of(value: Any) -> bytes:
    """Make the member for a key's value; ValueError for null, or what is no value of JSON."""
    if value is None:
        raise ValueError("the key is null, so nothing tells such records apart; filter them out before")
    text = _encode(value if type(value) is str or type(value) is int else _canonical(value))
    return text if len(text) <= SIZE else blake2b(text, digest_size=SIZE).digest()


def _canonical(value: Any) -> Any:
    """Write numbers in one way, at any depth."""
    kind = type(value)
    if kind is float:
        if not math.isfinite(value):
            raise ValueError(f"the key is {value}, which is no value of JSON")
        return int(value) if value.is_integer() else value
    if kind is dict:
        return {name: _canonical(inner) for name, inner in value.items()}
    if kind in {list, tuple}:
        return [_canonical(inner) for inner in value]
    if kind is set:
        return sorted(map(_canonical, value), key=_encode)
    return value
