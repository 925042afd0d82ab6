"""Key texts: what keys that are not text become in JSON. Two with the same text would lose a value."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from gc import get_referents
from typing import Any

import msgspec

_CONTAINERS = frozenset((list, dict))
_SCALARS = frozenset((str, int, float, bool, type(None)))
_FEW = 8  # rows that are not worth looking at column by column
_SHOWN = 80  # characters of a key in a message
_MAX_DEPTH = 1_000
_decode, _encode = msgspec.json.Decoder(dict[str, Any]).decode, msgspec.json.Encoder().encode


def have_text_keys(rows: Sequence[dict[Any, Any] | list[Any]]) -> bool:
    """
    Return whether certainly all keys in records, or in rows of values, are text, however deep.

    False if it is not certain. To look at each value would take half as long as to encode it. Instead,
    numbers are compared: a dict refers to its values, and to its keys only once one has not been text.
    """
    values = get_referents(*rows)
    if len(values) != sum(map(len, rows)):
        return False
    # By column, since few columns hold lists or dicts.
    columns = max(1, len(rows[0])) if len(rows) > _FEW else 1
    return all(_text_keys_inside(values[column::columns]) for column in range(columns))


def _text_keys_inside(values: list[Any]) -> bool:
    while inner := get_referents(*values):
        if not {*map(type, values)} <= _CONTAINERS:
            values = [value for value in values if type(value) in _CONTAINERS]
        # There are more if some are keys, or stand inside anything but lists and dicts.
        if len(inner) != sum(map(len, values)):
            return False
        values = inner
    return True


def same_text(value: Any) -> str:
    """Describe two keys of one object that have the same text in JSON; empty if there are none."""
    waiting = [("$", value, 0)]
    while waiting:
        place, item, depth = waiting.pop()
        inside = _inside(item)
        if isinstance(item, dict) and (found := _same_text(inside)):
            return f"{place} has {found}, and one of their values would be lost; use keys that differ as text"
        if depth < _MAX_DEPTH:
            inner = [(key, one) for key, one in inside.items() if type(one) not in _SCALARS]
            waiting += [(place + _step(key, item), one, depth + 1) for key, one in reversed(inner)]
    return ""


def _same_text(item: dict[Any, Any]) -> str:
    if all(type(key) is str for key in item):
        return ""
    seen: dict[str, Any] = {}
    for key in item:
        text = _text(key)
        if text is None:
            continue
        if text in seen:
            return f"the keys {_shown(seen[text])} and {_shown(key)}, both the text {_shown(text)} in JSON"
        seen[text] = key
    return ""


def _text(key: Any) -> str | None:
    """Return what a key becomes; None if JSON has no form for it."""
    if type(key) is str:
        return key
    try:
        return next(iter(_decode(_encode({key: None}))))
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError):
        return None


def _inside(item: Any) -> dict[Any, Any]:
    """Return what an item holds, by key, index or field."""
    if isinstance(item, dict):
        return item
    if isinstance(item, list | tuple):
        return dict(enumerate(item))
    if isinstance(item, msgspec.Struct):
        return msgspec.structs.asdict(item)
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return {field.name: getattr(item, field.name, None) for field in dataclasses.fields(item)}
    # A pydantic model; pydantic is not imported for it.
    return vars(item) if hasattr(type(item), "__pydantic_fields__") else {}


def _step(key: Any, item: Any) -> str:
    return f"[{key}]" if isinstance(item, list | tuple) else f".{_short(str(key))}"


def _shown(key: Any) -> str:
    return _short(repr(key))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
