"""Fields: the kinds of values that settings hold, each with its check and its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from rsq_pipe.spec import count, duration, rate, sampling, size
from rsq_pipe.spec.server_url import check_server_url

NAME_PATTERN = r"^[a-z][a-z0-9_-]*$"
MAX_NAME = 64
HANDLER_PATTERN = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$"


def _text_parser(parse: Callable[[str], Any], example: str) -> BeforeValidator:
    def check(value: object) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"must be text such as {example}")  # noqa: TRY004  pydantic wants a ValueError
        return parse(str(value))

    return BeforeValidator(check)


def check_name(value: str) -> str:
    """Let through what can name a pipeline, a stage or a port."""
    if not re.fullmatch(NAME_PATTERN, value):
        like = name_like(value)
        example = f": {like!r}" if re.fullmatch(NAME_PATTERN, like) else ""
        what = f"{value!r} is not a name; use small letters, digits, - and _, a letter first"
        raise ValueError(f"{what}{example}")
    if len(value) > MAX_NAME:
        raise ValueError(f"a name may have {MAX_NAME} characters; this one has {len(value)}")
    return value


def name_like(value: str) -> str:
    """Spell a text as a name, as far as that goes: `Small orders` as `small-orders`."""
    return re.sub(r"[^a-z0-9_]+", "-", value.lower()).strip("-")


def _schema(pattern: str, description: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "string", "pattern": pattern, "description": description, "examples": list(examples)}
    )


def _as_duration(seconds: float) -> str:
    return duration.format_duration(seconds)


Duration = Annotated[
    float,
    _text_parser(duration.parse_duration, "30s"),
    PlainSerializer(_as_duration),
    _schema(duration.PATTERN, "A duration: ms, s, m, h or d", "200ms", "30s", "5m"),
]
Size = Annotated[
    int, _text_parser(size.parse_size, "1MiB"), _schema(size.PATTERN, "A size: B, KiB, MiB, GiB", "1MiB")
]
Many = Annotated[
    int,
    _text_parser(count.parse_count, "100k"),
    Field(ge=0),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": count.PATTERN, "examples": ["100k"]},
            ],
            "description": "How many, with k or M where they are many",
        }
    ),
]
Rate = Annotated[
    str,
    BeforeValidator(rate.check_rate),
    _schema(rate.PATTERN, "A rate: a number and /s, /m or /h", "500/s", "30/m"),
]
Sample = Annotated[
    Any,
    _text_parser(sampling.parse_sampling, "10/s"),
    _schema(sampling.PATTERN, "A rate, a share, `all` or `none`", "10/s", "5%", "all", "none"),
]
Name = Annotated[
    str,
    BeforeValidator(lambda v: check_name(v) if isinstance(v, str) else v),
    _schema(NAME_PATTERN, "A name", "orders"),
]
ServerUrl = Annotated[str, AfterValidator(check_server_url)]
Count = Annotated[int, Field(ge=1)]
