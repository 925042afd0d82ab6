"""Producer: runs an iterator, sync or async, in its own thread, and passes on its items as they come."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

AHEAD = 2_000
"""Maximum number of items that it may be ahead of those taken."""

_WAIT = 0.05  # seconds between two looks at whether there is room, or an end


class Ended(Exception):  # noqa: N818  not an error in itself
    """The iterator has ended; the cause is its error, if it raised."""


class Producer:
    """
    Run an iterator, and hold its items until they are taken.

    Args:
        begin: Creates the iterator; called in the thread.
    """

    def __init__(self, begin: Callable[[], Any]) -> None:
        self._begin = begin
        self._items: queue.Queue[Any] = queue.Queue(AHEAD)
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        # A daemon: one that waits must not delay a stop.
        threading.Thread(target=self._run, name="rsq-pipe producer", daemon=True).start()

    def take(self, size: int) -> list[Any]:
        """Wait for items, and return those that have arrived, at most `size`; an Ended follows the last."""
        found = [self._items.get()]
        with contextlib.suppress(queue.Empty):
            while len(found) < size and not isinstance(found[-1], Ended):
                found.append(self._items.get_nowait())
        return found

    def close(self) -> None:
        """End the iterator; one that waits in a sync function is abandoned."""
        self._stopping.set()
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._task.cancel)
        with contextlib.suppress(queue.Full):
            self._items.put_nowait(Ended())

    def _run(self) -> None:
        end = Ended()
        try:
            items = self._begin()
            if hasattr(items, "__aiter__"):
                asyncio.run(self._all_async(items))
            else:
                self._all(iter(items))
        except BaseException as exc:  # noqa: BLE001  whatever it raises: without an end, nobody would know
            end.__cause__ = None if self._stopping.is_set() else exc
        self._put(end)

    def _all(self, items: Iterator[Any]) -> None:
        try:
            for item in items:
                if not self._put(item):
                    return
        finally:
            if (close := getattr(items, "close", None)) is not None:
                close()

    async def _all_async(self, items: Any) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            if self._stopping.is_set():  # set by a `close` that found no task to cancel
                return
            async for item in items:
                while not self._stopping.is_set():
                    try:
                        self._items.put_nowait(item)
                        break
                    except queue.Full:
                        await asyncio.sleep(_WAIT)
                if self._stopping.is_set():
                    return
        finally:
            if (close := getattr(items, "aclose", None)) is not None:
                await close()

    def _put(self, item: Any) -> bool:
        while not self._stopping.is_set():
            try:
                self._items.put(item, timeout=_WAIT)
            except queue.Full:
                continue
            return True
        return False
