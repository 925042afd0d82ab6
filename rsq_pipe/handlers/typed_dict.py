"""TypedDicts that pydantic accepts."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, NotRequired, Required, get_args, get_origin

import typing_extensions


def for_pydantic(annotation: Any) -> Any:
    """
    Rebuild the TypedDicts of `typing` as those of `typing_extensions`, wherever they stand in the annotation.

    Before Python 3.12 pydantic refuses the former; a user should not have to know.
    """
    if sys.version_info >= (3, 12):
        return annotation
    if typing_extensions.is_typeddict(annotation):
        return _rebuilt(annotation)
    arguments = get_args(annotation)
    if not arguments or get_origin(annotation) in (Annotated, Literal, Callable):
        return annotation
    rebuilt = tuple(for_pydantic(argument) for argument in arguments)
    if rebuilt == arguments:
        return annotation
    origin = get_origin(annotation)
    return typing.Union[rebuilt] if origin is types.UnionType else origin[rebuilt]  # noqa: UP007


def _rebuilt(annotation: Any) -> Any:
    hints = typing_extensions.get_type_hints(annotation, include_extras=True)
    fields = {name: _required(annotation, name, hint) for name, hint in hints.items()}
    make: Any = typing_extensions.TypedDict  # type checkers know it with literals only
    rebuilt = make(annotation.__name__, fields)
    if hasattr(annotation, "__pydantic_config__"):
        rebuilt.__pydantic_config__ = annotation.__pydantic_config__
    return rebuilt


def _required(typed_dict: Any, name: str, hint: Any) -> Any:
    """Say of each field whether it may be left out: a subclass may mix fields of both kinds."""
    if get_origin(hint) in (Required, NotRequired):
        return get_origin(hint)[for_pydantic(get_args(hint)[0])]
    mark: Any = Required if name in typed_dict.__required_keys__ else NotRequired
    return mark[for_pydantic(hint)]
