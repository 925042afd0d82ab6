"""Model: converts records to a user's class and back, for `validate`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec
import typing_extensions
from pydantic import AliasChoices, AliasPath, BaseModel, ValidationError

from rsq_pipe.errors import HandlerContractError
from rsq_pipe.handlers.mistakes import got
from rsq_pipe.handlers.validation import adapter_for, field_errors

_MISSING = object()


class InvalidError(ValueError):
    """A record that the class does not accept; `mistakes` are pairs of field and error."""

    def __init__(self, mistakes: list[tuple[str, str]]) -> None:
        super().__init__(str(mistakes))
        self.mistakes = mistakes


Make: TypeAlias = Callable[[dict[str, Any]], Any]


class Maker(msgspec.Struct, frozen=True):
    """
    Hold the conversion of records by a class.

    Args:
        make: A record -> the validated record, as JSON values. Raises InvalidError, and any other error than
            ValueError and AssertionError of the user's own validators.
        fields: The fields that the class knows, by their names in a record.
    """

    make: Make
    fields: frozenset[str]


def maker(model: Any, name: str) -> Maker:
    """
    Make the conversion of records by a class.

    Raises:
        HandlerContractError: Records cannot be converted to it; `name` is its name in the message.
    """
    if isinstance(model, type) and issubclass(model, msgspec.Struct):
        return Maker(_struct(model, name), _struct_fields(model))
    is_class = isinstance(model, type) and (issubclass(model, BaseModel) or dataclasses.is_dataclass(model))
    if not is_class and not typing_extensions.is_typeddict(model):
        raise HandlerContractError(
            f"{name!r} is not a class of records; "
            "name a pydantic model, a dataclass, a TypedDict or a msgspec Struct"
        )
    return Maker(_pydantic(model, name), frozenset(_pydantic_fields(model)))


def _pydantic(model: Any, name: str) -> Make:
    adapter = adapter_for(model, f"{name!r}")
    validate, dump = adapter.validate_python, adapter.dump_python

    def make(record: dict[str, Any]) -> Any:
        try:
            value = validate(record)
        except ValidationError as exc:
            mistakes = field_errors(exc)
        else:
            return dump(value, mode="json", by_alias=True, warnings=False)
        # Not chained: a printed ValidationError contains whole values and a URL per field.
        raise InvalidError(mistakes)

    return make


def _pydantic_fields(model: Any) -> Iterable[str]:
    fields = getattr(model, "__pydantic_fields__", None)
    if fields is None:
        if typing_extensions.is_typeddict(model):
            return list(typing_extensions.get_type_hints(model))
        return [field.name for field in dataclasses.fields(model) if field.init]
    names: list[str] = []
    config = getattr(model, "model_config", {})
    by_name = config.get("populate_by_name") or config.get("validate_by_name")
    for name, field in fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias] if alias else []
        names += [str(choice.path[0]) if isinstance(choice, AliasPath) else choice for choice in choices]
        if not choices or by_name:
            names.append(name)
    return names


def _struct(model: type[msgspec.Struct], name: str) -> Make:
    try:
        msgspec.json.Decoder(model)
    except (TypeError, NameError) as exc:
        reason = str(exc).partition("\n")[0]
        raise HandlerContractError(f"{name!r}: records cannot be made into it: {reason}") from exc

    def make(record: dict[str, Any]) -> Any:
        try:
            value = msgspec.convert(record, model, strict=False)
        except msgspec.ValidationError as exc:
            mistakes = _struct_mistakes(model, record, str(exc))
        else:
            return msgspec.to_builtins(value, str_keys=True)
        raise InvalidError(mistakes)

    return make


def _struct_fields(model: type[msgspec.Struct]) -> frozenset[str]:
    tag = model.__struct_config__.tag_field
    return frozenset([field.encode_name for field in msgspec.structs.fields(model)] + ([tag] if tag else []))


def _struct_mistakes(
    model: type[msgspec.Struct], record: dict[str, Any], whole: str
) -> list[tuple[str, str]]:
    """List an error for each field: the library itself stops at the first one of a record."""
    mistakes: list[tuple[str, str]] = []
    for field in msgspec.structs.fields(model):
        value = record.get(field.encode_name, _MISSING)
        if value is _MISSING:
            if field.required:
                mistakes.append((field.encode_name, "is missing"))
            continue
        try:
            msgspec.convert(value, field.type, strict=False)
        except msgspec.ValidationError as exc:
            message, _, inside = str(exc).partition(" - at `$")
            where = inside.removesuffix("`").replace("[", ".").replace("]", "")
            mistakes.append((f"{field.encode_name}{where}", message if where else f"{message} {got(value)}"))
    if model.__struct_config__.forbid_unknown_fields:
        unknown = [name for name in record if name not in _struct_fields(model)]
        mistakes += [(name, "is not a field of it") for name in unknown]
    return mistakes or [("the record", whole)]
