"""What fails for lack of stack is done again where there is enough, and fails if that does not help."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import pytest

from rsq_pipe.model.own_stack import on_own_stack


def under(calls: int, function: Callable[[], int]) -> int:
    """Call a function under that many others."""
    return function() if calls == 0 else under(calls - 1, function)


def deep(levels: int) -> int:
    return 0 if levels == 0 else 1 + deep(levels - 1)


def test_a_function_that_lacks_stack_is_called_again_on_a_stack_of_its_own() -> None:
    levels, calls = sys.getrecursionlimit() * 6 // 10, sys.getrecursionlimit() // 2

    with pytest.raises(RecursionError):
        under(calls, lambda: deep(levels))
    assert under(calls, lambda: on_own_stack(deep, levels)) == levels


def test_a_function_that_has_enough_stays_in_its_thread() -> None:
    assert on_own_stack(lambda _: threading.get_ident(), 0) == threading.get_ident()


def test_what_is_too_deep_for_any_stack_fails() -> None:
    with pytest.raises(RecursionError):
        on_own_stack(deep, sys.getrecursionlimit() + 1)
