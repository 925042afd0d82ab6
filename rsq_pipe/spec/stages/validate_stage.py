"""ValidateStage: the settings of a stage that checks records."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from rsq_pipe.spec.fields import HANDLER_PATTERN
from rsq_pipe.spec.models import Output, ReadingStage, Settings


class Validation(Settings):
    """What a record must be: one of `fields`, `schema` and `model`, and what becomes of other fields."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["fields"]}, {"required": ["schema"]}, {"required": ["model"]}]
        },
    )

    fields: Annotated[
        dict[str, Any] | None,
        WithJsonSchema(
            {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}, "minProperties": 1}
        ),
    ] = Field(default=None, description="Field -> what it must be: `int`, `float >= 0`, see below.")
    schema_: Annotated[str | None, WithJsonSchema({"type": "string", "minLength": 1})] = Field(
        default=None, alias="schema", description="A JSON Schema file, found from the project root."
    )
    model: Annotated[str | None, WithJsonSchema({"type": "string", "pattern": HANDLER_PATTERN})] = Field(
        default=None,
        description="`module:Class`, found as handlers are: a pydantic model, a dataclass, a TypedDict or a "
        "msgspec Struct.",
    )
    extra: Literal["keep", "drop", "reject"] = Field(
        default="keep",
        description="What becomes of a record's other fields: they stay, are removed, or are mistakes.",
    )

    @model_validator(mode="after")
    def _one(self) -> Validation:
        given = [
            name
            for name, value in (("fields", self.fields), ("schema", self.schema_), ("model", self.model))
            if value is not None
        ]
        if not given:
            raise ValueError("it says nothing of what a record must be; write `fields`, `schema` or `model`")
        if len(given) > 1:
            raise ValueError(f"it has {' and '.join(given)}; keep one, or use two stages")
        return self


class ValidateStage(ReadingStage):
    """Pass on valid records; others become dead letters that name every mistake."""

    validate_: Validation = Field(
        alias="validate", description="What a record must be, and what becomes of other fields."
    )
    to: Output = Field(default=None, description="`{stream: NAME}`: publish the output under its own name.")
