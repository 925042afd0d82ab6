"""Calling: passes a user's function the arguments that it has parameters for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from rsq_pipe.connectors.function_name import function_name
from rsq_pipe.errors import HandlerContractError, SourceError
from rsq_pipe.suggestion import suggest

Function = Annotated[str, *function_name("feeds:orders")]


def check_arguments(
    function: Any, text: str, given: Sequence[str], values: Mapping[str, Any], stage: str
) -> None:
    """Refuse a function whose parameters do not match its arguments, with SourceError."""
    try:
        inspect.signature(function).bind(**arguments(function, dict.fromkeys(given)), **values)
    except TypeError as exc:
        offered = f"{', '.join(map(repr, given))} if it asks for that, and the values of `with`"
        what = f"stage {stage!r} calls {text}: {exc}; it is given {offered}"
        raise SourceError(what, stage=stage) from exc


def check_values(
    function: Any, name: str, values: Mapping[str, Any], places: int = 0, given: Sequence[str] = ()
) -> None:
    """
    Refuse values of `with` that a function has no parameters for, and parameters that get no value.

    Args:
        places: How many positional arguments it gets.
        given: Arguments passed by name, if it has such parameters.

    Raises:
        HandlerContractError: The mistake, and the fix.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    named = [one.name for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    takes_all = len(named) < len(signature.parameters)
    for key in values:
        if key not in named and not takes_all:
            free = [one for one in named[places:] if one not in given and one not in values]
            fix = suggest(key, free, otherwise="take it out of `with`")
            raise HandlerContractError(f"{name!r} has no parameter {key!r}; {fix}")
    try:
        signature.bind(*[None] * places, **arguments(function, dict.fromkeys(given)), **values)
    except TypeError as exc:
        raise HandlerContractError(f"{name!r} cannot be called: {exc}; give all it takes by `with`") from exc


def arguments(function: Any, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the offered arguments that a function asks for by name."""
    parameters = inspect.signature(function).parameters
    return {name: value for name, value in offered.items() if name in parameters}
