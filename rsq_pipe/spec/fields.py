"""Fields: the kinds of values that settings hold, each with its check and its JSON Schema."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from rsq_pipe.spec.sampling import PATTERN as SAMPLING_PATTERN
from rsq_pipe.spec.sampling import parse_sampling
from rsq_pipe.spec.server_url import check_server_url
from rsq_pipe.units import text_parser, text_schema

NAME_PATTERN = r"^[a-z][a-z0-9_-]*$"
MAX_NAME = 64
HANDLER_PATTERN = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$"


def check_name(value: str) -> str:
    """Accept a valid name of a pipeline, a stage or a port."""
    if not re.fullmatch(NAME_PATTERN, value):
        like = name_like(value)
        example = f": {like!r}" if re.fullmatch(NAME_PATTERN, like) else ""
        what = f"{value!r} is not a name; use small letters, digits, - and _, a letter first"
        raise ValueError(f"{what}{example}")
    if len(value) > MAX_NAME:
        raise ValueError(f"a name may have {MAX_NAME} characters; this one has {len(value)}")
    return value


def name_like(value: str) -> str:
    """Turn a text into a name, if possible: `Small orders` into `small-orders`."""
    return re.sub(r"[^a-z0-9_]+", "-", value.lower()).strip("-")


Sample = Annotated[
    Any,
    text_parser(parse_sampling, "10/s"),
    text_schema(SAMPLING_PATTERN, "A rate, a share, `all` or `none`", "10/s", "5%", "all", "none"),
]
Name = Annotated[
    str,
    BeforeValidator(lambda v: check_name(v) if isinstance(v, str) else v),
    text_schema(NAME_PATTERN, "A name", "orders"),
]
ServerUrl = Annotated[str, AfterValidator(check_server_url)]
Count = Annotated[int, Field(ge=1)]
