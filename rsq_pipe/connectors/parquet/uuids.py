"""UUIDs: finds the columns of UUIDs in a file's footer; the library passes on any 16 bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from rsq_pipe.connectors.parquet.maps import Shape

_SCHEMA = 2
"""Number of the list of columns in the footer, a struct `FileMetaData`, which is written in Thrift's compact
protocol."""

_NAME, _CHILDREN, _LOGICAL = 4, 5, 10
"""Numbers of the fields of a column in it, a struct `SchemaElement`."""

_UUID = 14
"""Number of UUID in the union `LogicalType`."""


def uuids_of(footer: bytes) -> Mapping[str, tuple[bool, ...]]:
    """
    Return for each column that holds UUIDs which leaves of its type do, from left to right.

    Args:
        footer: The metadata at the end of a file.
    """
    try:
        elements = _Reader(footer).struct(until=_SCHEMA)[_SCHEMA]
        found: dict[str, tuple[bool, ...]] = {}
        at = 1
        for _ in range(elements[0][_CHILDREN]):
            flags: list[bool] = []
            name, at = elements[at][_NAME].decode(), _leaves(elements, at, flags)
            if any(flags):
                found[name] = tuple(flags)
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError, struct.error):
        return {}  # the library says what is wrong with the file
    return found


def with_uuids(values: Sequence[Any], shape: Shape, flags: Sequence[bool]) -> list[Any]:
    """
    Write UUIDs as text.

    Args:
        values: The values of a column; the entries of a map are pairs.
        shape: Its type.
        flags: As `uuids_of` returns them.
    """
    return [_written(value, shape, flags) for value in values] if _width(shape) == len(flags) else [*values]


def _leaves(elements: Sequence[Mapping[int, Any]], at: int, flags: list[bool]) -> int:
    """Append the flags of a column that begins at a place; return the place after it."""
    children = elements[at].get(_CHILDREN, 0)
    if not children:
        flags.append(_UUID in elements[at].get(_LOGICAL, {}))
    at += 1
    for _ in range(children):
        at = _leaves(elements, at, flags)
    return at


def _width(shape: Shape) -> int:
    return sum(map(_width, shape.inner)) if shape.inner else 1


def _written(value: Any, shape: Shape, flags: Sequence[bool]) -> Any:
    if not any(flags):
        return value
    if not shape.inner:
        return str(UUID(bytes=value)) if isinstance(value, bytes) and len(value) == 16 else value
    if isinstance(value, list):
        return [_written(item, shape.inner[0], flags) for item in value]
    if isinstance(value, tuple):
        return tuple(_parts(value, shape, flags))
    if isinstance(value, dict) and value:
        return dict(zip(value, _parts(tuple(value.values()), shape, flags), strict=True))
    return value


def _parts(values: tuple[Any, ...], shape: Shape, flags: Sequence[bool]) -> list[Any]:
    """Do so for each field of a struct, or for the key and the value of a map's entry."""
    written, at = [], 0
    for value, inner in zip(values, shape.inner, strict=True):
        width = _width(inner)
        written.append(_written(value, inner, flags[at : at + width]))
        at += width
    return written


class _Reader:
    """Read values in Thrift's compact protocol; LookupError or ValueError where there are none."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self, until: int = 0) -> dict[int, Any]:
        """Read a struct: number of a field -> value; nothing after the field `until`."""
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self._whole()
            found[number] = kind == 1 if kind in (1, 2) else self._value(kind)
            if number == until:
                break
        return found

    def _value(self, kind: int) -> Any:
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._whole()
        if kind == 7:
            return struct.unpack("<d", self._bytes(8))[0]
        if kind == 8:
            return self._bytes(self._varint())
        if kind in (9, 10):
            head = self._byte()
            size = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 15) for _ in range(size)]
        if kind == 12:
            return self.struct()
        raise ValueError(f"{kind} is no type of the metadata")

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _bytes(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        self._at += size
        return found

    def _varint(self) -> int:
        number = shift = 0
        while (byte := self._byte()) & 128:
            number |= (byte & 127) << shift
            shift += 7
        return number | byte << shift

    def _whole(self) -> int:
        number = self._varint()
        return number >> 1 ^ -(number & 1)
