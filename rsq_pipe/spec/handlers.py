"""Handlers: checks of a user's function before a record reaches it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import redirect_stdout
from inspect import isclass, isfunction
from io import StringIO
from pathlib import Path
from typing import Any

from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import HandlerContractError, HandlerNotFoundError
from rsq_pipe.handlers.handler import describe
from rsq_pipe.handlers.model import maker
from rsq_pipe.handlers.named import named
from rsq_pipe.spec.fields import HANDLER_PATTERN
from rsq_pipe.spec.graph import ConnectorRef, HandlerRef


def parse_handler(text: str) -> HandlerRef:
    """
    Parse `module:function`.

    Raises:
        ValueError: It is not of that form.
    """
    file, colon, function = text.partition(".py:")
    written = f"{file.removeprefix('./').replace('/', '.')}:{function}"
    if colon and re.match(HANDLER_PATTERN, written):
        raise ValueError(f"{text!r} is not a handler; write {written}, the module and not its file")
    if not re.match(HANDLER_PATTERN, text):
        module, dot, function = text.rpartition(".")
        written = f"{module}:{function}"
        if dot and re.match(HANDLER_PATTERN, written):
            raise ValueError(f"{text!r} is not a handler; write {written}, with a colon before the function")
        raise ValueError(f"{text!r} is not a handler; write module:function, such as orders.handlers:price")
    module, _, function = text.partition(":")
    return HandlerRef(module, function, text)


def check_handler(handler: HandlerRef, root: Path) -> str:
    """
    Import a handler from the project root, and check that it can be called as one.

    Returns:
        The output of its module on import.

    Raises:
        HandlerNotFoundError: It does not exist, or its module fails, or it takes the wrong parameters.
    """
    return _check(handler, root, isfunction, lambda function: describe(function, handler.text))


def function_of(ref: ConnectorRef) -> HandlerRef | None:
    """Return the user's function that a source or sink calls; None if it calls none."""
    found = connector(ref.kind, ref.type)
    return parse_handler(ref.options.call) if found.check is not None else None


def check_function(ref: ConnectorRef, function: HandlerRef, root: Path) -> str:
    """Import the function of a source or sink, and check that it can be called as one, as above."""
    check = connector(ref.kind, ref.type).check
    assert check is not None
    return _check(function, root, isfunction, lambda found: check(found, function.text, ref.options.with_))


def check_model(model: HandlerRef, root: Path) -> str:
    """Import a class from the project root, and check that records can be converted to it, as above."""
    return _check(model, root, isclass, lambda found: maker(found, model.text))


def _check(
    handler: HandlerRef, root: Path, is_such: Callable[[Any], bool], accept: Callable[[Any], object]
) -> str:
    output = StringIO()
    with redirect_stdout(output):
        found = named(handler.module, handler.function, root, is_such)
    try:
        accept(found)
    except HandlerContractError as exc:
        what, _, fix = str(exc).partition("; ")
        raise HandlerNotFoundError(what, fix) from exc
    return output.getvalue()
