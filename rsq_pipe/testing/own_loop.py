"""own_loop: runs async work from a plain function, in its own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def own_loop(caller: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """
    Do the work in a new event loop, and close the loop.

    Args:
        caller: The function the user called, for the message.
        work: Creates the coroutine; not called if it could not be awaited.

    Raises:
        RuntimeError: This thread is already running an event loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    raise RuntimeError(
        f"{caller} has its own event loop, and this thread is running one already; call it from a "
        f"plain `def` test, or as `await asyncio.to_thread({caller}, ...)`"
    )
