"""Isolation: makes sure that an entry in its last delivery is all that its process has in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Isolation:
    """
    Let the consumers of one process handle batches side by side, or one of them a single entry alone.

    If a process dies while it handles one entry and nothing else, that entry is what killed it. Without
    this, a slow record of one stage would be in flight at every death that a record of another stage causes,
    and would be condemned with it. Shared by the consumers of one event loop.
    """

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []
        self._side_by_side = 0
        self._asking = 0
        self._alone: object | None = None  # whoever handles an entry alone

    @asynccontextmanager
    async def beside_others(self) -> AsyncIterator[None]:
        """Handle a batch; waits while an entry is handled alone, or asks to be."""
        if self._alone is not None or self._asking:
            await self._until(self._is_shared)
        self._side_by_side += 1
        try:
            yield
        finally:
            self._side_by_side -= 1
            if self._waiters:
                self._wake()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Handle an entry; waits until every batch in flight is done, and keeps further ones waiting."""
        who = object()
        self._asking += 1
        try:
            await self._until(self._is_empty)
            self._alone = who
        finally:
            self._asking -= 1
            self._wake()
        try:
            yield
        finally:
            if self._alone is who:  # another may be, where this one was cancelled while it stood aside
                self._alone = None
            self._wake()

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """
        Handle nothing for a while in the middle of a batch, or of an entry handled alone.

        Others go on meanwhile; before the batch does, it waits its turn as at its beginning.
        """
        who, self._alone = self._alone, None
        self._side_by_side -= who is None
        self._wake()
        try:
            yield
            self._asking += who is not None
            try:
                await self._until(self._is_shared if who is None else self._is_empty)
                self._alone = who
            finally:
                self._asking -= who is not None
        finally:
            self._side_by_side += who is None  # who leaves the batch, cancelled or not, is counted off there
            self._wake()

    def _is_empty(self) -> bool:
        return self._alone is None and not self._side_by_side

    def _is_shared(self) -> bool:
        return self._alone is None and not self._asking

    async def _until(self, free: Callable[[], bool]) -> None:
        while not free():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
