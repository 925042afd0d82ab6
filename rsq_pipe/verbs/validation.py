"""Validation: records made into what a handler's annotation asks for, or refused with every field named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from rsq_pipe.errors import HandlerContractError, RecordInvalidError
from rsq_pipe.verbs.annotation import spell
from rsq_pipe.verbs.typed_dict import for_pydantic

FIELDS_NAMED = 10
VALUE_LENGTH = 60


def validator(annotation: Any, stage: str) -> Callable[[Any], Any]:
    """
    Build the function that makes a record into what the annotation asks for; built once, called per record.

    Returns:
        A function that raises RecordInvalidError, with every field that is wrong.

    Raises:
        HandlerContractError: pydantic cannot build a schema for the annotation.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(for_pydantic(annotation))
        # A model that names a class which does not exist is put off until its first record otherwise.
        adapter.rebuild(raise_errors=True)
    except (PydanticUserError, NameError, RecursionError) as exc:
        reason = str(exc).partition("\n")[0]
        raise HandlerContractError(
            f"stage {stage!r}: records cannot be validated as {spell(annotation)}: {reason}", stage=stage
        ) from exc

    validate = adapter.validate_python

    def checked(record: Any) -> Any:
        try:
            return validate(record)
        except ValidationError as exc:
            invalid = _invalid(exc, annotation, stage)
        # Not chained: a printed ValidationError carries whole values and a URL per field.
        raise invalid

    return checked


def _invalid(error: ValidationError, annotation: Any, stage: str) -> RecordInvalidError:
    """Say what is wrong with each field, shortly: neither URLs nor whole payloads belong in a log."""
    details = error.errors(include_url=False, include_context=False)
    fields = {_place(detail["loc"]): _what(detail) for detail in details[:FIELDS_NAMED]}
    listed = "; ".join(f"{field}: {what}" for field, what in fields.items())
    more = f"; and {len(details) - FIELDS_NAMED} more" if len(details) > FIELDS_NAMED else ""
    return RecordInvalidError(
        f"stage {stage!r}: the record is not a valid {spell(annotation)}: {listed}{more}",
        stage=stage,
        fields=fields,
    )


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(map(str, loc)) or "the record"


def _what(detail: Any) -> str:
    message = str(detail["msg"])
    return message if detail["type"] == "missing" else f"{message} (got {_shorten(detail['input'])})"


def _shorten(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value[: VALUE_LENGTH + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}..."
