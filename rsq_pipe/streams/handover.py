"""Handover: gives what one task has read to another that asks for it, one batch at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from rsq_pipe.streams.entry import RawEntry


class Handover:
    """Let readers wait until what they brought is done with, and a loop take one batch after the other."""

    def __init__(self) -> None:
        self._given: list[Sequence[RawEntry]] = []
        self._arrived = asyncio.Event()
        self._taken: asyncio.Future[None] | None = None

    async def give(self, entries: Sequence[RawEntry]) -> None:
        """Hand entries over; returns when the taker asks for the next ones. One at a time."""
        self._taken = asyncio.get_running_loop().create_future()
        self._given.append(entries)
        self._arrived.set()
        await self._taken

    async def taken(self, reading: asyncio.Task[None]) -> AsyncGenerator[Sequence[RawEntry], None]:
        """
        Yield what is given until the task that reads has ended.

        Raises:
            StreamError: What ended the task.
        """
        reading.add_done_callback(lambda _: self._arrived.set())
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._given:
                yield self._given.pop()
                self._done()
            elif reading.done():
                reading.result()
                return

    def _done(self) -> None:
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)
        self._taken = None
