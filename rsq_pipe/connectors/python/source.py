"""Source `python`: what a user's function yields."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.function_name import function_at
from rsq_pipe.connectors.python.calling import (
    Function,
    check_arguments,
    check_values,
)
from rsq_pipe.connectors.python.reading import PythonSource
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.errors import HandlerContractError

GIVEN = ("position",)
"""Arguments that the function gets if it has a parameter of that name."""


class Options(Settings):
    """Settings of the `python` source: what a function of your own yields."""

    call: Function = Field(
        description="The function, `module:function`, looked up in the project root, then beside this file. "
        "It yields records, or pairs of a position and a record."
    )
    with_: Annotated[dict[str, Any], Field(alias="with")] = Field(
        default={}, description="Values for its other parameters, by name."
    )


def check_function(function: Any, name: str, values: Mapping[str, Any]) -> None:
    """Refuse a function that yields nothing, or needs further arguments, with HandlerContractError."""
    if not (
        inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function) or _returns(function)
    ):
        raise HandlerContractError(
            f"{name!r} yields nothing; write `def` or `async def` with `yield`, or return an iterator"
        )
    check_values(function, name, values, given=GIVEN)


def _returns(function: Any) -> bool:
    return callable(function) and not inspect.isclass(function) and not inspect.iscoroutinefunction(function)


def connect(options: Options, *, stage: str, root: Path) -> PythonSource:
    """Make the source of a stage; the function is called when it is read."""
    return PythonSource(lambda: _function(options, root, stage), options.call, stage, options.with_)


def _function(options: Options, root: Path, stage: str) -> Any:
    function = function_at(options.call, root, stage)
    check_arguments(function, options.call, GIVEN, options.with_, stage)
    return function


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:
    """Return the function as an endpoint; it is imported, not called."""

    def reach(_: float) -> None:
        _function(options, root, stage)

    return Endpoint(f"function {options.call}", reach)
