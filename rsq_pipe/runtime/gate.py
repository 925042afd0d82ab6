"""Gate: lets a stage take new work, or has it wait while a stream below is full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Gate:
    """
    Be open or closed.

    Args:
        on_close, on_open: Called at each change, for a consumer that is paused and resumed.
    """

    def __init__(
        self, on_close: Callable[[], None] | None = None, on_open: Callable[[], None] | None = None
    ) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._on_close = on_close
        self._on_open = on_open

    @property
    def is_open(self) -> bool:
        """Whether new work may be taken."""
        return self._open.is_set()

    def set(self, *, full: bool) -> None:
        """Close where a stream below is full, open where none is."""
        if full and self.is_open:
            self._open.clear()
            if self._on_close:
                self._on_close()
        elif not full and not self.is_open:
            self._open.set()
            if self._on_open:
                self._on_open()

    async def passed(self) -> None:
        """Wait until it is open."""
        await self._open.wait()
