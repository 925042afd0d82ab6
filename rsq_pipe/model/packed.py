"""msgpack: writes values in the form that can be read back."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec

_CONTAINERS = (dict, list, tuple)


def packed(value: Any) -> bytes:
    """
    Write a value as msgpack.

    Types that msgpack lacks are written as in JSON, and come back so: dates, Decimals, UUIDs and Enums as
    text, sets as lists, dataclasses as mappings. Bytes stay bytes.

    Raises:
        TypeError: It holds what neither has a form for, or a mapping with a list as a key, which msgpack
            writes but nobody can read.
        ValueError, OverflowError: It is nested too deeply, or a number is too large.
    """
    raw: bytes = msgpack.packb(value, use_bin_type=True, datetime=False, default=_as_in_json)
    _refuse_list_keys(value)
    return raw


def _as_in_json(value: Any) -> Any:
    """Turn a value of a type that msgpack lacks into one that it has."""
    plain = msgspec.to_builtins(value, builtin_types=(bytes, bytearray))
    _refuse_list_keys(plain)
    return plain


def _refuse_list_keys(value: Any) -> None:
    waiting: list[Any] = [value] if isinstance(value, _CONTAINERS) else []
    while waiting:
        item: Any = waiting.pop()
        if isinstance(item, dict):
            if not _LISTS.isdisjoint(map(type, item)):
                raise TypeError("a list is the key of a mapping")
            item = item.values()
        if not {*map(type, item)} <= _SCALARS:
            waiting += [inner for inner in item if isinstance(inner, _CONTAINERS)]


_SCALARS = frozenset((str, int, float, bool, type(None), bytes))
_LISTS = frozenset((tuple, frozenset))
