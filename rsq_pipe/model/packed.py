"""msgpack: writes values in the form that can be read back."""

from __future__ import annotations

from typing import Any

import msgpack

_CONTAINERS = (dict, list, tuple)


def packed(value: Any) -> bytes:
    """
    Write a value as msgpack.

    Raises:
        TypeError: It holds what msgpack has no form for, or a mapping with a list as a key, which msgpack
            writes but nobody can read.
        ValueError, OverflowError: It is nested too deeply, or a number is too large.
    """
    raw: bytes = msgpack.packb(value, use_bin_type=True, datetime=False)
    _refuse_list_keys(value)
    return raw


def _refuse_list_keys(value: Any) -> None:
    waiting: list[Any] = [value] if isinstance(value, _CONTAINERS) else []
    while waiting:
        item: Any = waiting.pop()
        if isinstance(item, dict):
            if tuple in {*map(type, item)}:
                raise TypeError("a list is the key of a mapping")
            item = item.values()
        if not {*map(type, item)} <= _SCALARS:
            waiting += [inner for inner in item if isinstance(inner, _CONTAINERS)]


_SCALARS = frozenset((str, int, float, bool, type(None), bytes))
