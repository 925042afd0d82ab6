"""Returns: whether a function can return anything but None, by its bytecode."""

from __future__ import annotations

import dis
import functools
from collections.abc import Callable
from typing import Any


def returns_nothing(function: Callable[..., Any]) -> bool:
    """
    Return whether every way out of a function is a None, as without a `return`; False where that is unknown.

    A function that always raises is none of those: it may be one that is not written yet.
    """
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    ends, last = 0, None
    for step in dis.get_instructions(code):
        if step.opname in {"RETURN_CONST", "RETURN_VALUE"}:
            ends += 1
            of = step if step.opname == "RETURN_CONST" else last
            if of is None or of.opname not in {"LOAD_CONST", "RETURN_CONST"} or of.argval is not None:
                return False
        last = step
    return ends > 0
