"""sample in a file: a share of the records."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from rsq_pipe.spec.models import Output, ReadingStage
from rsq_pipe.spec.validation import describe

PATTERN = r"^[0-9]+(\.[0-9]+)? ?%$"


@dataclass(frozen=True, slots=True)
class Share:
    """
    Hold a share of records.

    Args:
        text: As it was written.
        value: More than 0, up to 1.
    """

    text: str
    value: float


def parse_share(value: object) -> Share:
    """
    Read a share.

    Args:
        value: Such as `1%`.

    Raises:
        ValueError: It is none, or lets no record through.
    """
    if isinstance(value, float | int) and not isinstance(value, bool) and 0 < value <= 1:
        raise ValueError(f"a share is written in percent, not as {value:g}; write {value * 100:g}%")
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"must be a share of the records, not {describe(value)}; write a number and %: 1%")
    percent = float(found[1])
    if not 0 < percent <= 100:
        raise ValueError(f"{found[0]} is no share that can go on; write more than 0% and up to 100%")
    return Share(found[0], percent / 100)


class SampleStage(ReadingStage):
    """Pass on a share of the records, the same ones on every attempt; drop and count the others."""

    sample: Annotated[
        Any,
        BeforeValidator(parse_share),
        WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["1%"]}),
    ] = Field(description="The share, in percent; chosen by record id.")
    to: Output = Field(
        default=None, description="`{stream: NAME}`: publish the output under a name of its own."
    )


def read_sample(value: Any) -> Share | None:
    """Read the share; None where it is wrong, which is reported with the stage's settings."""
    try:
        return parse_share(value)
    except ValueError:
        return None
