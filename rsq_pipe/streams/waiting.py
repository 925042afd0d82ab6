"""Waiting: for an event, for the first of several things, for one to end whoever is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_TURNS = 2
"""Turns of the event loop until a settlement is on its way: one for its task, one for `uninterrupted`'s."""


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


class Settling(Generic[T]):
    """
    Run one settlement beside other work, and the next only when it has ended: they keep their order.

    Args:
        failed: Called when a settlement has failed, so that nobody goes on; `end` raises what it was.
    """

    def __init__(self, failed: Callable[[], object]) -> None:
        self._failed = failed
        self._task: asyncio.Task[T] | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether a settlement has not ended yet."""
        return self._task is not None and not self._task.done()

    async def begin(self, settlement: Coroutine[Any, Any, T]) -> None:
        """Begin a settlement, and give it the turns to be sent; the one before must have ended."""
        self._task = asyncio.ensure_future(settlement)
        self._task.add_done_callback(self._done)
        # The next batch may be there already. Where handling it only computes, the settlement would not be
        # sent before that is done, and the server would be idle meanwhile.
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def end(self) -> T | None:
        """
        Wait for the settlement under way, if there is one, and return its result.

        Raises:
            StreamError: What it failed with.

        Cancellation: the command that was sent runs to its end; nothing else is sent.
        """
        task, self._task = self._task, None
        return None if task is None else await task

    async def cancel(self) -> None:
        """Give up the settlement under way, if there is one; a command that was sent runs to its end."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _done(self, task: asyncio.Task[T]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._failed()
