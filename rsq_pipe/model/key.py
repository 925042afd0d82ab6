"""Key: by what records belong together, as bytes that are equal where the values are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

MAX_KEY = 64
"""Bytes of a key that stands in the state as it is; of a longer one a digest of 128 bits does."""

_encode = msgspec.json.Encoder(order="sorted").encode


def key_of(values: Sequence[Any]) -> bytes | None:
    """
    Make the key of a record's values.

    5 and 5.0 are one value; 5, "5" and true are three.

    Returns:
        The key; None where one of the values is null, which belongs to nothing.
    """
    if None in values:
        return None
    spelt = _encode([_alike(value) for value in values])
    return spelt if len(spelt) <= MAX_KEY else b"#" + blake2b(spelt, digest_size=16).digest()


def keyed(evaluate: Sequence[Callable[[Any], Any]]) -> Callable[[Any], bytes | None]:
    """Make the function that tells a record's key; it raises what an expression does."""
    if len(evaluate) > 1:
        return lambda record: key_of([one(record) for one in evaluate])
    (only,) = evaluate

    def single(record: Any) -> bytes | None:
        value = only(record)
        # Nearly every key is short text or a number.
        if (type(value) is str and len(value) < MAX_KEY // 2) or type(value) is int:
            spelt = _encode([value])
            if len(spelt) <= MAX_KEY:
                return spelt
        return key_of([value])

    return single


def _alike(value: Any) -> Any:
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is list:
        return [_alike(one) for one in value]
    if type(value) is dict:
        return {name: _alike(one) for name, one in value.items()}
    return value
