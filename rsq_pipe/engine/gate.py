"""Gate: lets a stage take new work, or has it wait while a stream below is full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Gate:
    """
    Be open while there is room below.

    How much room there is, is looked at now and then. A fast writer could overfill its stream between two
    looks, so what it writes is taken off at once.

    Args:
        on_close, on_open: Called at each change, for a consumer that is paused and resumed.
    """

    def __init__(
        self, on_close: Callable[[], None] | None = None, on_open: Callable[[], None] | None = None
    ) -> None:
        self.room: float = float("inf")
        """How many records may be written until the next look."""
        self._open = asyncio.Event()
        self._open.set()
        self._on_close = on_close
        self._on_open = on_open

    @property
    def is_open(self) -> bool:
        """Whether new work may be taken."""
        return self._open.is_set()

    def grant(self, room: float) -> None:
        """State how many records may be written until the next look; opens or closes."""
        self.room = room
        self._turn(is_open=room > 0)

    def spend(self, entries: int) -> None:
        """State that entries were written; closes where that was all the room there was."""
        self.room -= entries
        if self.room <= 0:
            self._turn(is_open=False)

    async def passed(self) -> None:
        """Wait until it is open."""
        await self._open.wait()

    def _turn(self, *, is_open: bool) -> None:
        if is_open == self.is_open:
            return
        if is_open:
            self._open.set()
        else:
            self._open.clear()
        tell = self._on_open if is_open else self._on_close
        if tell:
            tell()
