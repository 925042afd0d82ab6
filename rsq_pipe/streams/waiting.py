"""Waiting: for an event, for the first of several things, for one to end whoever is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def until(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, or for some seconds."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def first(*things: Awaitable[Any]) -> None:
    """Wait until one of several things has happened; cancels the others."""
    tasks = [asyncio.ensure_future(thing) for thing in things]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def uninterrupted(coroutine: Coroutine[Any, Any, T]) -> T:
    """
    Await a coroutine; a cancellation of the caller takes effect when it has ended.

    A write that is cut between sending and reply leaves nobody who knows whether it happened.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen, or the loop would report it as lost
        raise


def ended() -> asyncio.Future[Any]:
    """Make what has ended already, with None: to be waited for where nothing was begun yet."""
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future
