"""Wording: why bytes are not a record, or a record cannot be encoded, in our words for any library."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import msgspec

from rsq_pipe.model.key_texts import same_text
from rsq_pipe.streams.unique_keys import RepeatedKeyError, shown

_DEEP = 1_000  # how many levels are searched
_HALF_PAIR = "holds half a surrogate pair, which is not text"
_OTHER = re.compile(r"Expected `(object|array)`, got `(\w+)`$")
TOO_DEEP = "it is nested too deeply, or holds itself"


def unreadable(error: Exception, raw: bytes | str = b"") -> str:
    """
    Describe why bytes are not a record.

    Args:
        error: The exception.
        raw: The JSON, if it is JSON: near its end, msgspec takes half a surrogate pair for a truncated
            document.
    """
    match error:
        case RepeatedKeyError():
            return str(error)
        case UnicodeDecodeError():
            return f"it is not UTF-8: it holds byte 0x{error.object[error.start]:02x}"
        case RecursionError() | msgpack.StackError():
            return "it is nested too deeply"
        case msgspec.DecodeError():
            return _json(str(error), raw)
        case msgpack.ExtraData():
            return "more bytes follow after its end"
        case TypeError():
            return "a list or a map is used as a key"
    return "it is cut off or damaged"


def unwritable(record: Any, encode: Callable[[Any], object], form: str) -> str:
    """
    Describe why a record cannot be encoded: which of its values is at fault, and why.

    Args:
        record: The record.
        encode: Encodes one value.
        form: The name of the format, such as `JSON`.
    """
    for place, value, is_key in _values(record):
        try:
            encode({value: None} if is_key else value)
        except UnicodeEncodeError:
            return f"{place} {_HALF_PAIR}"
        except OverflowError:
            return f"{place} is a number that is out of range for {form}"
        except Exception:  # noqa: BLE001  finding this value was the purpose
            if isinstance(value, float) and not math.isfinite(value):
                return f"{place} is not a finite number"
            if why := same_text(record):  # inside a dataclass, for example
                return why
            if type(value) is int:
                return f"{place} is a number of more digits than Python writes"
            what = f"the key {shown(value)} in {place}" if is_key else place
            fix = "; write `str(...)`" if is_key else _fix(value)
            return f"{what} is of type {_named(type(value))}, which {form} does not have{fix}"
    return same_text(record) or TOO_DEEP


def _named(kind: type) -> str:
    """Name a type; with its module, since numpy's `bool` is not Python's."""
    module = kind.__module__
    return kind.__name__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _fix(value: Any) -> str:
    """Say how to convert a value of a type that is nearly one of JSON's."""
    kind = next((kind for kind in (str, int, float) if isinstance(value, kind)), None)
    if kind is not None:
        return f"; write `{kind.__name__}(...)`"
    if hasattr(type(value), "__pydantic_fields__"):
        return "; write `.model_dump(mode='json')`"
    return "; write `.tolist()`" if type(value).__module__ == "numpy" else ""


def _values(record: Any) -> Iterator[tuple[str, Any, bool]]:
    """Yield scalar values and keys: each with its path, and whether it is a key."""
    waiting = [(record, "$", 0)]
    while waiting:
        item, place, depth = waiting.pop()
        if isinstance(item, dict):
            yield from ((place, key, True) for key in item if not isinstance(key, str) or not key.isascii())
            inner = [(value, f"{place}{_step(key)}", depth + 1) for key, value in item.items()]
        elif isinstance(item, list | tuple):
            inner = [(value, f"{place}[{index}]", depth + 1) for index, value in enumerate(item)]
        else:
            yield place, item, False
            continue
        if depth < _DEEP:
            waiting += reversed(inner)


def _step(key: Any) -> str:
    """Format a key as part of a path; it may be long, and may not be text."""
    return f".{key}" if isinstance(key, str) and len(key) < 80 and key.isidentifier() else f"[{shown(key)}]"


def _json(text: str, raw: bytes | str) -> str:
    if "surrogate" in text or ("truncated" in text and _is_whole(raw)):
        return f"it {_HALF_PAIR}"
    if "truncated" in text:
        return "it ends too early"
    if "out of range" in text:
        return "a number is out of range"
    if found := _OTHER.match(text):
        wanted, given = (f"an {word}" if word[0] in "aeio" else f"a {word}" for word in found.groups())
        return f"it is {given}, and not {wanted}"
    return text.removeprefix("JSON is malformed: ")


def _is_whole(raw: bytes | str) -> bool:
    """Return whether Python's JSON parser accepts it, which takes half a surrogate pair for text."""
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True
