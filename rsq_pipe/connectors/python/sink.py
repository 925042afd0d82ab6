"""Sink `python`: a user's function that gets batches of records and their ids."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import Field

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.function_name import function_at
from rsq_pipe.connectors.python.calling import Function, check_values
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.errors import HandlerContractError

GIVEN = ("records", "rids")
"""The positional arguments of the function."""


class Options(Settings):
    """Settings of the `python` sink: a function of your own that gets batches of records and their ids."""

    call: Function = Field(
        description="The function, `module:function`, looked up in the project root, then beside this file: "
        "`def store(records, rids)`. It returns nothing, or a list with an outcome for each record."
    )
    with_: Annotated[dict[str, Any], Field(alias="with")] = Field(
        default={}, description="Values for its other parameters, by name."
    )


def check_function(function: Any, name: str, values: Mapping[str, Any]) -> None:
    """Refuse a function that does not take records and their ids, with HandlerContractError."""
    if not callable(function) or inspect.isclass(function):
        raise HandlerContractError(f"{name!r} is not a function; name a `def` or `async def`")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise HandlerContractError(
            f"{name!r} yields; return nothing, or a list with an outcome for each record"
        )
    places = [
        one
        for one in inspect.signature(function).parameters.values()
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD, one.VAR_POSITIONAL)
    ]
    if len(places) < 2 and not any(one.kind is one.VAR_POSITIONAL for one in places):
        raise HandlerContractError(
            f"{name!r} takes no records and ids; write `def {name.rpartition(':')[2]}(records, rids)`"
        )
    check_values(function, name, values, places=len(GIVEN))


def sender(options: Options, *, stage: str, timeout: float) -> NoReturn:  # noqa: ARG001
    """Refuse: it runs a user's function, like `call`, and so the verbs create it."""
    raise LookupError("the sink `python` is made by rsq_pipe.verbs.python_sink")


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:
    """Return the function as an endpoint; it is imported, not called."""

    def reach(_: float) -> None:
        function_at(options.call, root, stage)

    return Endpoint(f"function {options.call}", reach)
