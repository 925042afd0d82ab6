"""Prefetch: reads ahead from a blocking iterator, in a thread that does not delay the process's exit."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterator
from contextvars import copy_context
from typing import Generic, TypeVar

from rsq_pipe.error_text import full_text

T = TypeVar("T")

DEPTH = 4
"""Number of items read ahead."""

_END = object()


class Prefetch(Generic[T]):
    """
    Iterate a blocking iterator from the event loop.

    The thread is a daemon: if it waits for a line on standard input it must not delay a stop.

    Args:
        items: The iterator, used by the thread only.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._loop = asyncio.get_running_loop()
        self._ready: deque[object] = deque()
        self._arrived = asyncio.Event()
        self._room = threading.Semaphore(DEPTH)
        self._closed = False
        context = copy_context()
        threading.Thread(target=context.run, args=[self._read], name="rsq-pipe source", daemon=True).start()

    def __aiter__(self) -> AsyncIterator[T]:
        return self._iterate()

    def close(self) -> None:
        """End the iteration at once, and the thread after its current item, which may never arrive."""
        self._closed = True
        self._room.release()
        self._arrived.set()

    async def _iterate(self) -> AsyncIterator[T]:
        while True:
            while not self._ready and not self._closed:
                self._arrived.clear()
                await self._arrived.wait()
            if self._closed:
                return
            item = self._ready.popleft()
            self._room.release()
            if item is _END:
                return
            if isinstance(item, _Raised):
                raise item.error
            yield item  # type: ignore[misc]  # all but the two above are T

    def _read(self) -> None:
        try:
            for item in self._items:
                self._room.acquire()
                if self._closed:
                    return
                self._put(item)
            self._put(_END)
        except BaseException as exc:  # noqa: BLE001  raised again where the items are awaited
            self._put(_Raised(exc if isinstance(exc, Exception) else _ended_by(exc)))
        finally:
            # Here, and not at garbage collection: a generator's cleanup belongs to its thread.
            if isinstance(self._items, Generator):
                self._items.close()

    def _put(self, item: object) -> None:
        def arrive() -> None:
            self._ready.append(item)
            self._arrived.set()

        try:
            self._loop.call_soon_threadsafe(arrive)
        except RuntimeError:  # the loop has ended: there is no waiter left
            self._closed = True


def _ended_by(exc: BaseException) -> Exception:
    """Make an error of what is none, as a panic of Rust code, or SystemExit, which would end the loop."""
    error = RuntimeError(f"reading ended by {full_text(exc)}")
    error.__cause__ = exc
    return error


class _Raised:
    def __init__(self, error: Exception) -> None:
        self.error = error
