"""Subclasses: values of subclasses of text and numbers, as values of the types themselves."""

from __future__ import annotations

from typing import Any


def plain_value(value: Any) -> str | int | float:
    """
    Convert a value that msgspec has no form for, such as one of numpy's float64, a subclass of float.

    Its own methods are not asked, since `str()` of one may be anything.

    Raises:
        TypeError: It is not of such a class.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    raise TypeError(f"a value of type {type(value).__name__} has no form in JSON")
