"""Values: converts PostgreSQL's text to JSON values, like its own `row_to_json`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

Convert: TypeAlias = Callable[[bytes], Any]

_json = msgspec.json.Decoder().decode
_OFFSET = re.compile(r"[+-]\d\d$")
_BARE = {b",": re.compile(rb'[^,{}"\\]+'), b";": re.compile(rb'[^;{}"\\]+')}
"""What separates the items of an array -> an item without quotes."""

SEPARATORS = frozenset(_BARE)

_NOT_ESCAPED = re.compile(rb'[^"\\]*')


def converter(oid: int) -> Convert:
    """Find the converter of a type of PostgreSQL's own; values of other types stay text."""
    return _OWN.get(oid, bytes.decode)


def array_of(item: Convert, separator: bytes = b",") -> Convert:
    """Make a converter of arrays; their items are separated by a comma, those of box by a semicolon."""

    def convert(text: bytes) -> Any:
        # The bounds, if they do not start at 1: `[0:1]={1,2}`.
        return _array(text, text.index(b"{"), item, separator)[0]

    return convert


def is_built_in(oids: Iterable[int]) -> bool:
    """Return whether these types are known without the catalog."""
    return all(oid in _OWN or oid in _TEXTS for oid in oids)


def _array(text: bytes, at: int, item: Convert, separator: bytes) -> tuple[list[Any], int]:
    """Read the array whose brace opens at a place; return it and the place after it."""
    values: list[Any] = []
    bare = _BARE[separator]
    at += 1
    while True:
        sign = text[at : at + 1]
        if sign == b"}":
            return values, at + 1
        if sign == separator:
            at += 1
        elif sign == b"{":
            inner, at = _array(text, at, item, separator)
            values.append(inner)
        elif sign == b'"':
            raw, at = _quoted(text, at + 1)
            values.append(item(raw))
        else:
            found = bare.match(text, at)
            if found is None:
                raise ValueError(f"it is not an array: {text[:80].decode(errors='replace')}")
            values.append(None if found[0] == b"NULL" else item(found[0]))
            at = found.end()


def _quoted(text: bytes, at: int) -> tuple[bytes, int]:
    parts = []
    while True:
        found = _NOT_ESCAPED.match(text, at)
        assert found is not None
        parts.append(found[0])
        at = found.end()
        if text[at : at + 1] == b'"':
            return b"".join(parts), at + 1
        if at >= len(text):
            raise ValueError("it is an array whose quote is not closed")
        parts.append(text[at + 1 : at + 2])
        at += 2


def _boolean(text: bytes) -> bool:
    return text == b"t"


def _number(text: bytes) -> Any:
    """Read a number as JSON would; NaN and the infinities, which JSON cannot express, stay text."""
    if text[-1:] in b"Nyn":
        return text.decode()
    return _json(text)


def _moment(text: bytes) -> str:
    """Format a date and time in ISO 8601."""
    moment = text.decode().replace(" ", "T", 1)
    if moment.endswith("+00"):  # as in all sessions of this source
        return f"{moment}:00"
    return f"{moment}:00" if _OFFSET.search(moment) else moment


def _date_time(text: bytes) -> str:
    return text.decode().replace(" ", "T", 1)


def _numbers(text: bytes) -> list[int]:
    return [int(one) for one in text.split()]


def _words(text: bytes) -> list[str]:
    return text.decode().split()


_OWN: dict[int, Convert] = {
    16: _boolean,
    20: int,
    21: int,
    22: _numbers,
    30: _words,
    23: int,
    700: _number,
    701: _number,
    1700: _number,
    114: _json,
    3802: _json,
    1114: _date_time,
    1184: _moment,
    1000: array_of(_boolean),
    1005: array_of(int),
    1007: array_of(int),
    1016: array_of(int),
    1021: array_of(_number),
    1022: array_of(_number),
    1231: array_of(_number),
    199: array_of(_json),
    3807: array_of(_json),
    1115: array_of(_date_time),
    1185: array_of(_moment),
    1009: array_of(bytes.decode),
    1015: array_of(bytes.decode),
    1002: array_of(bytes.decode),
    1014: array_of(bytes.decode),
    1182: array_of(bytes.decode),
    2951: array_of(bytes.decode),
}
"""Number of a type -> its converter."""

_TEXTS = frozenset((17, 18, 19, 25, 26, 650, 829, 869, 1042, 1043, 1082, 1083, 1186, 1266, 2950))
"""Types whose values stay text: bytea, text, varchar, date, time, uuid and the like."""
