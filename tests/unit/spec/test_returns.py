"""A function that can only return None is known by its bytecode."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from rsq_pipe.spec.silent_handlers import returns_nothing

Record = dict[str, Any]


def forgets(order: Record) -> None:
    order["total"] = 1
    order  # noqa: B018  as one writes who forgets `return`


async def forgets_late(order: Record) -> None:
    async with order["lock"]:
        order["total"] = 1


def leaves_early(order: Record) -> None:
    for line in order["lines"]:
        if line:
            return
    order["total"] = 1


def sometimes(order: Record) -> Record | None:
    if order:
        return order
    return None


async def returns_late(order: Record) -> Record:
    async with order["lock"]:
        return order


def raises(order: Record) -> Record:
    raise NotImplementedError(order)


@functools.wraps(forgets)
def wrapped(order: Record) -> None:
    return forgets(order)


@pytest.mark.parametrize("function", [forgets, forgets_late, leaves_early, functools.partial(forgets)])
def test_a_function_without_a_value_to_return_returns_nothing(function: Callable[..., Any]) -> None:
    assert returns_nothing(function)


@pytest.mark.parametrize(
    "function", [sometimes, returns_late, raises, wrapped, lambda order: order, print, dict]
)
def test_a_function_that_may_return_a_value_or_is_unknown_does_not(function: Callable[..., Any]) -> None:
    assert not returns_nothing(function)
