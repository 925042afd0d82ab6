"""Validation: records made into what a handler's annotation asks for, or refused with every field named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from rsq_pipe.errors import HandlerContractError
from rsq_pipe.handlers.annotation import spell
from rsq_pipe.handlers.mistakes import got, invalid, place
from rsq_pipe.handlers.typed_dict import for_pydantic

FIELDS_NAMED = 10


def validator(annotation: Any, stage: str) -> Callable[[Any], Any]:
    """
    Build the function that makes a record into what the annotation asks for; built once, called per record.

    Returns:
        A function that raises RecordInvalidError, with every field that is wrong.

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
            error = invalid(stage, what, told(exc), FIELDS_NAMED)
        # Not chained: a printed ValidationError carries whole values and a URL per field.
        raise error

    return checked


def adapter_for(annotation: Any, who: str) -> TypeAdapter[Any]:
    """
    Build what makes values into an annotation.

    Raises:
        HandlerContractError: pydantic cannot build a schema for it; `who` is named in front.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(for_pydantic(annotation))
        # A model that names a class which does not exist is put off until its first record otherwise.
        adapter.rebuild(raise_errors=True)
    except (PydanticUserError, NameError, RecursionError) as exc:
        reason = str(exc).partition("\n")[0]
        raise HandlerContractError(
            f"{who}: records cannot be validated as {spell(annotation)}: {reason}"
        ) from exc
    return adapter


def told(error: ValidationError) -> list[tuple[str, str]]:
    """Say what is wrong with each field, shortly: neither URLs nor whole payloads belong in a log."""
    details = error.errors(include_url=False, include_context=False)
    return [(place(detail["loc"]), _what(detail)) for detail in details]


def _what(detail: Any) -> str:
    message = str(detail["msg"])
    return message if detail["type"] == "missing" else f"{message} {got(detail['input'])}"
