"""Handler: the kind of a user's function: per record or per batch, sync or async, with ctx or without."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from msgspec import Struct

from rsq_pipe.errors import HandlerContractError
from rsq_pipe.handlers.annotation import one_record, records_of
from rsq_pipe.handlers.batch_handler import is_batch_handler
from rsq_pipe.handlers.named import named

CONTEXT_NAMES = ("ctx", "context")


class Handler(Struct, frozen=True):
    """
    Describe a user's function.

    Args:
        function: The function; it takes a record (or a list of records), and a context if wanted.
        name: Its name in messages: `orders.handlers:price`.
        batch: Whether a call takes a list of records.
        is_async: Whether a call must be awaited.
        takes_context: Whether a call takes `ctx` as its second argument.
        annotation: The type a record is validated as; None to pass the dict itself.
    """

    function: Callable[..., Any]
    name: str
    batch: bool
    is_async: bool
    takes_context: bool
    annotation: Any


def resolve(module: str, function: str, root: Path) -> Handler:
    """
    Import a handler from the project root, and describe it.

    Args:
        module: Dotted, as in `orders.handlers`.
        function: A name in that module, without dots.
        root: The project root, put first on the import path.

    Raises:
        HandlerNotFoundError: It does not exist, or its module fails on import.
        HandlerContractError: It cannot be a handler.
    """
    return describe(named(module, function, root), name=f"{module}:{function}")


def describe(function: Any, name: str = "") -> Handler:
    """
    Check that a function can be a handler, and return its kind; calls nothing.

    Raises:
        HandlerContractError: It is not a function, takes the wrong parameters, or is a generator.
    """
    name = name or getattr(function, "__qualname__", repr(function))
    if not callable(function) or inspect.isclass(function):
        raise HandlerContractError(f"{name!r} is not a function; name a `def` or `async def`")
    called = _called(function)
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise HandlerContractError(f"{name!r} yields; a handler returns: a list splits a record into several")
    record, takes_context = _parameters(function, name)
    batch = is_batch_handler(function)
    try:
        annotation = _annotation(called, record)
        annotation = records_of(annotation) if batch else one_record(annotation)
    except (TypeError, NameError) as exc:
        raise HandlerContractError(f"{name!r}: parameter {record.name!r}: {exc}") from exc
    return Handler(function, name, batch, inspect.iscoroutinefunction(called), takes_context, annotation)


def _called(function: Any) -> Any:
    """Find the function behind a partial or an object with __call__."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def _parameters(function: Any, name: str) -> tuple[inspect.Parameter, bool]:
    """Find the parameter that takes the record, and whether a second one takes the context."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as exc:
        raise HandlerContractError(f"{name!r} has no signature to read; wrap it in a `def`") from exc
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in by_position if p.default is p.empty]
    if not by_position:
        raise HandlerContractError(
            f"{name!r} takes no record; write `def {name.rpartition(':')[2]}(record)` or `(record, ctx)`"
        )
    if len(required) > 2:
        raise HandlerContractError(
            f"{name!r} takes {len(required)} parameters ({', '.join(p.name for p in required)}); "
            "a handler takes a record and, if it likes, `ctx`; settings come in as ctx.values"
        )
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and (
            parameter.default is parameter.empty or parameter.name in CONTEXT_NAMES
        ):
            raise HandlerContractError(
                f"{name!r} takes {parameter.name!r} by keyword only; make `ctx` the second parameter, "
                "and take settings from ctx.values"
            )
    second = by_position[1] if len(by_position) > 1 else None
    return by_position[0], second is not None and (second in required or second.name in CONTEXT_NAMES)


def _annotation(called: Any, parameter: inspect.Parameter) -> Any:
    """Evaluate one annotation; the others may need imports under TYPE_CHECKING and do not matter here."""
    if parameter.annotation is parameter.empty:
        return Any
    scope = getattr(inspect.unwrap(called), "__globals__", {})
    holder = SimpleNamespace(__annotations__={"record": parameter.annotation})
    try:
        return typing.get_type_hints(holder, globalns=scope, include_extras=True)["record"]
    except NameError as exc:
        raise NameError(
            f"its annotation {parameter.annotation!r} means nothing at run time ({exc}); "
            "import it at the top of the module, not under TYPE_CHECKING"
        ) from exc
