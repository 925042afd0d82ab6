"""Annotations: the type that a handler's parameter expects."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

import typing_extensions
from pydantic import BaseModel

_MAPPINGS = (dict, Mapping, MutableMapping)
_LISTS = (list, Sequence, Collection, Iterable)
_ANYTHING = (Any, object)


def one_record(annotation: Any) -> Any:
    """
    Read the annotation of a parameter that takes one record.

    Returns:
        The type to validate as, or None for the dict itself.

    Raises:
        TypeError: No record can be converted to this type.
    """
    if annotation in _ANYTHING or (get_origin(annotation) or annotation) in _MAPPINGS:
        return None
    if is_model(annotation):
        return annotation
    raise TypeError(
        f"a record cannot become {spell(annotation)}; use dict, a pydantic model, a dataclass or a TypedDict"
    )


def records_of(annotation: Any) -> Any:
    """Read the annotation of a parameter that takes a list of records, as `one_record` does."""
    if annotation in (*_ANYTHING, *_LISTS):
        return None
    if get_origin(annotation) in _LISTS:
        return one_record(get_args(annotation)[0])
    raise TypeError(
        f"a batch handler takes a list, not {spell(annotation)}; write `list[dict]` or `list[Model]`"
    )


def is_model(annotation: Any) -> bool:
    """Return whether records can be validated as this: a model, dataclass, TypedDict, or a union of them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return is_model(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return all(is_model(arm) for arm in get_args(annotation))
    kind = origin or annotation
    return typing_extensions.is_typeddict(kind) or (
        isinstance(kind, type) and (issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind))
    )


def is_typed_dict(annotation: Any) -> bool:
    """Return whether validated records are dicts, which may hold what JSON does not know, such as dates."""
    return typing_extensions.is_typeddict(get_origin(annotation) or annotation)


def spell(annotation: Any) -> str:
    """Format a type as a user would write it."""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
