"""Validation: converts records to a handler's annotation, or refuses them with every invalid field named."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, NotRequired, Required, get_args, get_origin

import typing_extensions
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from rsq_pipe.errors import HandlerContractError
from rsq_pipe.handlers.annotation import spell
from rsq_pipe.handlers.mistakes import got, invalid, place

FIELDS_NAMED = 10


def validator(annotation: Any, stage: str) -> Callable[[Any], Any]:
    """
    Build the function that converts a record to the annotation; built once, called per record.

    Returns:
        A function that raises RecordInvalidError, with every invalid field.

    Raises:
        HandlerContractError: pydantic cannot build a schema for the annotation.
    """
    try:
        adapter = adapter_for(annotation, f"stage {stage!r}")
    except HandlerContractError as exc:
        exc.stage = stage
        raise
    validate, what = adapter.validate_python, f"a valid {spell(annotation)}"

    def checked(record: Any) -> Any:
        try:
            return validate(record)
        except ValidationError as exc:
            error = invalid(stage, what, field_errors(exc), FIELDS_NAMED)
        # Not chained: a printed ValidationError contains whole values and a URL per field.
        raise error

    return checked


def adapter_for(annotation: Any, who: str) -> TypeAdapter[Any]:
    """
    Build the pydantic adapter for an annotation.

    Raises:
        HandlerContractError: pydantic cannot build a schema for it; the message begins with `who`.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(for_pydantic(annotation))
        # Otherwise a model that refers to an undefined class would only fail at its first record.
        adapter.rebuild(raise_errors=True)
    except (PydanticUserError, NameError, RecursionError) as exc:
        reason = str(exc).partition("\n")[0]
        raise HandlerContractError(
            f"{who}: records cannot be validated as {spell(annotation)}: {reason}"
        ) from exc
    return adapter


def field_errors(error: ValidationError) -> list[tuple[str, str]]:
    """Describe each field's error, in brief: neither URLs nor whole payloads belong in a log."""
    details = error.errors(include_url=False, include_context=False)
    return [(place(detail["loc"]), _what(detail)) for detail in details]


def _what(detail: Any) -> str:
    message = str(detail["msg"])
    return message if detail["type"] == "missing" else f"{message} {got(detail['input'])}"


def for_pydantic(annotation: Any) -> Any:
    """
    Rebuild the TypedDicts of `typing` as those of `typing_extensions`, anywhere in the annotation.

    Before Python 3.12 pydantic refuses the former; users should not have to know.
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
    """Mark each field as required or optional: a subclass may mix fields of both kinds."""
    if get_origin(hint) in (Required, NotRequired):
        return get_origin(hint)[for_pydantic(get_args(hint)[0])]
    mark: Any = Required if name in typed_dict.__required_keys__ else NotRequired
    return mark[for_pydantic(hint)]
