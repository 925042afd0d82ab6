"""Source `stream`: a Redis stream that others write, read through the stage's own group."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from rsq_pipe.connectors.settings import Settings
from rsq_pipe.connectors.stream.form import ValueType

_ID = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?")


def _start(value: object) -> object:
    text = str(value) if type(value) is int else value
    if isinstance(text, str) and (text == "$" or _ID.fullmatch(text)):
        return text
    raise ValueError("must be 0, $ or the id of an entry; write `start: $` to read what comes from now on")


class Options(Settings):
    """Settings of the `stream` source; the runner reads it itself, so there is nothing to connect to."""

    stream: str = Field(min_length=1, description="The stream's whole key.")
    format: Literal["fields", "json", "msgpack"] | None = Field(
        default=None,
        description="How an entry holds its record. `fields`: each field of the entry is one of the record, "
        "as `XADD events * customer ada total 12` writes it; `json` and `msgpack`: one field has all of it, "
        "the others are headers. Default: as rsq-pipe writes it, by `serializer`.",
    )
    field: str | None = Field(
        default=None,
        min_length=1,
        description="The field that has the record; not with `fields`. Default: `data`.",
    )
    start: Annotated[str, BeforeValidator(_start, json_schema_input_type=str | int)] = Field(
        default="0",
        description="Where to begin when the stage reads the stream for the first time: `0` at its first "
        "entry, `$` after its last, or after the entry with an id. Later runs continue where the last ended.",
    )
    types: dict[str, ValueType] = Field(
        default={},
        description="With `fields`: field -> the type its text is read as; `json` for lists and objects. "
        "Others stay text. An entry with a value of the wrong type becomes a dead letter.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.types and self.format != "fields":
            raise ValueError("`types` are for `format: fields`; set that, or leave them out")
        if self.field and self.format == "fields":
            raise ValueError("with `format: fields` every field is one of the record; leave `field` out")
        return self
