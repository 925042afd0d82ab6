"""LoopThread: an event loop in its own thread, for clients that are called from threads without one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """
    Run coroutines from other threads.

    Args:
        name: What uses it, for the thread's name.
    """

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=f"rsq-pipe {name}", daemon=True)
        self._thread.start()

    @property
    def ident(self) -> int:
        """The thread's identifier."""
        return self._thread.ident or 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; return its result or raise its error."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        """End the loop and the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
