"""Waiting: for an event, for the first of several awaitables, or for one that must not be cancelled."""

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
    """Wait until one of several awaitables is done; cancel the others."""
    tasks = [asyncio.ensure_future(thing) for thing in things]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def uninterrupted(coroutine: Coroutine[Any, Any, T]) -> T:
    """
    Await a coroutine; a cancellation of the caller takes effect only when the coroutine has ended.

    After a write that is cut between sending and reply, it would be unknown whether it happened.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved, or the loop would report it as lost
        raise


def ended() -> asyncio.Future[Any]:
    """Return a future that has already ended, with None: to wait for when nothing was begun yet."""
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future
