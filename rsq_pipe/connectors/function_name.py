"""FunctionName: `module:function`, the name of a user's Python function in a connector's settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import AfterValidator, WithJsonSchema

from rsq_pipe.errors import HandlerNotFoundError, SourceError
from rsq_pipe.handlers.named import named

PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$"


def function_name(example: str) -> tuple[Any, ...]:
    """Declare that a text setting of a model names a function; `example` is such a name."""

    def check(text: str) -> str:
        if not re.match(PATTERN, text):
            raise ValueError(f"{text!r} names no function; write module:function, such as {example}")
        return text

    return AfterValidator(check), WithJsonSchema(
        {"type": "string", "pattern": PATTERN, "examples": [example]}
    )


def function_at(text: str, root: Path, stage: str) -> Any:
    """
    Import the function that a source names.

    Raises:
        SourceError: The function does not exist, or its module cannot be imported.
    """
    module, _, name = text.partition(":")
    try:
        return named(module, name, root)
    except HandlerNotFoundError as exc:
        raise SourceError(str(exc.in_stage(stage, "call its function")), stage=stage) from exc
