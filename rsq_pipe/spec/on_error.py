"""`on_error` in a file: what becomes of records out of attempts, and how many may become dead letters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from rsq_pipe.spec.share import PATTERN, Share, parse_share
from rsq_pipe.units import OneOrMore


def _parse_most(value: object) -> Share:
    return Share("0%", 0.0) if value == "0%" else parse_share(value)


class DeadLetters(BaseModel):
    """How many of a stage's records may become dead letters, and what happens when more do."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    max: Annotated[
        Any,
        BeforeValidator(_parse_most),
        WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["5%"]}),
    ] = Field(description="The share of the last records that may become dead letters.", examples=["5%"])
    over: OneOrMore = Field(
        default=1_000,
        description="How many of the last records that the stage handled, in all processes, are counted.",
    )
    then: Literal["pause", "stop"] = Field(
        default="pause",
        description="Whether the stage pauses until `rsq-pipe resume`, or the run ends with exit code 1.",
    )


class OnError(BaseModel):
    """A record out of attempts becomes a dead letter, up to a share of the records."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    dlq: DeadLetters = Field(
        description="How many may, and what the stage does when more do.", examples=["{max: 5%}"]
    )


def _written(value: object) -> str:
    return "mapping" if isinstance(value, dict | OnError) else "word"


def _word_or_mapping(schema: dict[str, Any]) -> None:
    schema["anyOf"] = schema.pop("oneOf")


OnErrorSetting = Annotated[
    Annotated[Literal["dlq", "drop", "stop"], Tag("word")] | Annotated[OnError, Tag("mapping")],
    Discriminator(_written),
    Field(json_schema_extra=_word_or_mapping),
]
