"""msgpack: writes values in the form that can be read back."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec

from rsq_pipe.model.key_texts import same_text
from rsq_pipe.model.subclasses import plain_value

_CONTAINERS = (dict, list, tuple)


def packed(value: Any) -> bytes:
    """
    Write a value as msgpack.

    Types that msgpack lacks are written as in JSON, and come back so: dates, Decimals, UUIDs and Enums as
    text, sets as lists, dataclasses as mappings. Bytes stay bytes.

    Raises:
        TypeError: It holds what neither has a form for, or a mapping with a list as a key, which msgpack
            writes but nobody can read.
        ValueError, OverflowError: It is nested too deeply, a number is too large, or two keys of a mapping
            have the same text in JSON, the form of most sinks.
    """
    raw: bytes = msgpack.packb(value, use_bin_type=True, datetime=False, default=_as_in_json)
    _check_keys(value)
    return raw


def _as_in_json(value: Any) -> Any:
    """Turn a value of a type that msgpack lacks into one that it has."""
    plain = msgspec.to_builtins(value, builtin_types=(bytes, bytearray), enc_hook=plain_value)
    _check_keys(plain)
    if isinstance(plain, _CONTAINERS) and (why := same_text(value)):
        raise ValueError(why)
    return plain


def _check_keys(value: Any) -> None:
    waiting: list[Any] = [value] if isinstance(value, _CONTAINERS) else []
    while waiting:
        item: Any = waiting.pop()
        if isinstance(item, dict):
            if not {*map(type, item)} <= _TEXT:
                if any(isinstance(key, _LISTS) for key in item):
                    raise TypeError("a list is the key of a mapping")
                if why := same_text(item):
                    raise ValueError(why)
            item = item.values()
        if not {*map(type, item)} <= _SCALARS:
            waiting += [inner for inner in item if isinstance(inner, _CONTAINERS)]


_SCALARS = frozenset((str, int, float, bool, type(None), bytes))
_TEXT = frozenset((str,))
_LISTS = (tuple, frozenset)
