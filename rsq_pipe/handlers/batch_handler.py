"""batch_handler: the mark of a function that handles a whole batch per call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK = "__rsq_pipe_batch__"


def batch_handler(function: Function) -> Function:
    """
    Mark a function as one that takes a list of records and returns one outcome per record, in order.

    A call that raises is repeated with halves of its records until only the bad ones are left, so
    such a function may see a record more than once.

    Args:
        function: `def f(records: list[...], ctx=None) -> list[...]`, sync or async.

    Returns:
        The same function.
    """
    setattr(function, _MARK, True)
    return function


def is_batch_handler(function: Callable[..., Any]) -> bool:
    """Return whether a function carries the mark."""
    return getattr(function, _MARK, False) is True
