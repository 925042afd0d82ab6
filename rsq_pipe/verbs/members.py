"""Members: records' keys in the form stored in a set on the server, short and canonical."""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec

from rsq_pipe.spec.record_key import RecordKey
from rsq_pipe.verbs.picking import Record, found

SIZE = 16
"""Maximum bytes of a member: a key is stored as its JSON, or as a digest of that."""

_encode = msgspec.json.Encoder(order="deterministic").encode


def member_maker(key: RecordKey) -> Callable[[Record], bytes]:
    """
    Make the function that returns the member for a record's key.

    1 and 1.0 are the same key, "1" and true are different ones; the order of a mapping's fields does not
    matter. It raises MissingFieldError if a field is missing, ValueError if the key is null or not a JSON
    value, and any error of an expression.
    """
    value = _value_maker(key)
    if len(key.fields) < 2:
        return lambda record: member_of(value(record))

    def of_several(record: Record) -> bytes:
        values = value(record)
        return member_of(None if all(one is None for one in values) else values)

    return of_several


def match_maker(key: RecordKey) -> Callable[[Record], bytes | None]:
    """Make the same function for records that look for a match: None if a part of the key is null."""
    value, several = _value_maker(key), len(key.fields) > 1

    def match(record: Record) -> bytes | None:
        it = value(record)
        return None if it is None or (several and None in it) else member_of(it)

    return match


def _value_maker(key: RecordKey) -> Callable[[Record], Any]:
    """Make the function that returns the value of a record's key; a list if it has several fields."""
    if key.expression is not None:
        return key.expression.evaluate
    if len(key.fields) > 1:
        return lambda record: [found(record, field) for field in key.fields]
    (field,) = key.fields
    if len(field) > 1:
        return lambda record: found(record, field)
    (name,) = field
    return lambda record: record[name] if name in record else found(record, field)


def member_of(value: Any) -> bytes:
    """Make the member for a key's value; ValueError if it is null, or not a JSON value."""
    if value is None:
        raise ValueError("the key is null, so such records cannot be told apart; filter them out first")
    text = _encode(value if type(value) is str or type(value) is int else _canonical(value))
    return text if len(text) <= SIZE else blake2b(text, digest_size=SIZE).digest()


def _canonical(value: Any) -> Any:
    """Convert numbers to one canonical form, at any depth."""
    kind = type(value)
    if kind is float:
        if not math.isfinite(value):
            raise ValueError(f"the key is {value}, which is not a value of JSON")
        return int(value) if value.is_integer() else value
    if kind is dict:
        return {name: _canonical(inner) for name, inner in value.items()}
    if kind in {list, tuple}:
        return [_canonical(inner) for inner in value]
    if kind is set:
        return sorted(map(_canonical, value), key=_encode)
    return value
