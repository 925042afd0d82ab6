"""sample in a file: a share of the records."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from rsq_pipe.spec.models import Output, ReadingStage
from rsq_pipe.spec.share import PATTERN, Share, parse_share


class SampleStage(ReadingStage):
    """Pass on a share of the records, the same ones on every attempt; drop and count the others."""

    sample: Annotated[
        Any,
        BeforeValidator(parse_share),
        WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["1%"]}),
    ] = Field(description="The share, in percent; chosen by record id.")
    to: Output = Field(default=None, description="`{stream: NAME}`: publish the output under its own name.")


def read_sample(value: Any) -> Share | None:
    """Read the share; None if it is wrong, which is reported with the stage's settings."""
    try:
        return parse_share(value)
    except ValueError:
        return None
