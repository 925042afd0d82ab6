"""Maps: reads a column with its maps as lists, since the library does not say what a map holds."""

from __future__ import annotations

import ctypes
from typing import Any

from msgspec import Struct

MAP, LIST = b"+m", b"+l"
"""The types of Arrow's C interface: a map is laid out as a list of structs, of a key and a value."""


class Shape(Struct, frozen=True):
    """
    Describe where a type holds maps.

    Args:
        is_map: Whether it is one itself.
        inner: The types that it consists of: one for a list or a map, that of each field for a struct.
    """

    is_map: bool = False
    inner: tuple[Shape, ...] = ()

    @property
    def key_and_value(self) -> tuple[Shape, Shape]:
        """The types of a map's keys and values."""
        key, value = self.inner[0].inner
        return key, value


def maps_as_lists(column: Any) -> tuple[Any, Shape]:
    """Return a column with lists of structs in place of its maps, at any depth, and where they were."""
    from arro3.core import Array  # noqa: PLC0415  imported where it is needed

    schema, data = column.__arrow_c_array__()
    shape = _unmap(_Schema.from_address(_pointer(schema, b"arrow_schema")))
    return Array.from_arrow_pycapsule(schema, data), shape


class _Schema(ctypes.Structure):
    """The beginning of Arrow's ArrowSchema, which is a stable interface."""


_Schema._fields_ = [
    ("format", ctypes.c_void_p),
    ("name", ctypes.c_void_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
]

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def _unmap(schema: _Schema) -> Shape:
    """Turn maps into lists, in a schema that was exported for us alone."""
    is_map = ctypes.string_at(schema.format) == MAP
    if is_map:
        # In place: whoever exported the schema frees this text.
        ctypes.memmove(schema.format, LIST, len(LIST))
    return Shape(is_map, tuple(_unmap(schema.children[at].contents) for at in range(schema.n_children)))
