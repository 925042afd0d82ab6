"""own_stack: repeats what failed for lack of stack."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")


def on_own_stack(function: Callable[[A], R], argument: A) -> R:
    """
    Call a function; if it raises RecursionError, again in a thread of its own, whose stack is empty.

    How deep a value may be nested to be encoded or decoded depends on how many calls surround that. What has
    been written once, surrounded by the event loop and a worker, must be possible to read and to write
    again from anywhere: a record that is not would end the run, and the next one, too.
    """
    try:
        return function(argument)
    except RecursionError:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(function, argument).result()
