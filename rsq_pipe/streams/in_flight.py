"""In flight: the entries a consumer holds, kept alive by a heartbeat, and isolation within its process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from rsq_pipe.errors import StreamError
from rsq_pipe.streams.channel import Channel
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.script import KEEP_ALIVE
from rsq_pipe.streams.settlement import Entry

_BEAT = 200  # entries per call of the script, which blocks the server

log = logging.getLogger("rsq_pipe.streams")


class InFlight:
    """
    Keep the entries that a consumer has in flight alive.

    Args:
        channel: The server.
        group, consumer: The owner of the entries.
        held: Returns those entries; called each time, so that there is no second list to keep.
    """

    def __init__(
        self, channel: Channel, group: str, consumer: str, held: Callable[[], Iterable[RawEntry | Entry]]
    ) -> None:
        self._channel = channel
        self._who = (group, consumer)
        self._held = held

    def ids(self) -> set[tuple[str, str]]:
        """Return stream and id of each entry."""
        return {(entry[0], entry[1]) for entry in self._held()}

    def __len__(self) -> int:
        return len(self.ids())

    async def beat(self, every_ms: int) -> None:
        """Keep entries in flight alive until cancelled."""
        while True:
            await asyncio.sleep(every_ms / 1000)
            try:
                await self.keep_alive()
            except StreamError:  # the next read reports it; the heartbeat only has to try again
                log.debug("group %s: no heartbeat", self._who[0], exc_info=True)

    async def keep_alive(self) -> None:
        """
        Reset the idle time of the entries in flight that are still this consumer's.

        Redis: keep_alive.lua, which checks the owner first: a bare XCLAIM JUSTID from a worker that was
        suspended would steal its entries back from the consumer that took them over.
        """
        held: dict[str, list[str]] = {}
        for stream, entry_id in sorted(self.ids()):
            held.setdefault(stream, []).append(entry_id)
        for stream, ids in held.items():
            for start in range(0, len(ids), _BEAT):
                await self._channel.run(KEEP_ALIVE, [stream], [*self._who, *ids[start : start + _BEAT]])


class Isolation:
    """
    Let the consumers of one process handle batches concurrently, or one of them a single entry alone.

    If a process dies while it handles one entry and nothing else, that entry killed it. Without this, a slow
    record of one stage would be in flight at every death that a record of another stage causes, and would be
    dead-lettered with it. Shared by the consumers of one event loop.
    """

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []
        self._side_by_side = 0
        self._asking = 0
        self._alone: object | None = None  # the task that handles an entry alone
        self.is_shared = True
        """Whether batches may be handled: no entry is handled alone, or is to be."""

    @asynccontextmanager
    async def beside_others(self) -> AsyncIterator[None]:
        """Handle batches, until `is_shared` is false; wait while an entry is handled alone, or is to be."""
        if not self.is_shared:
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
        """Handle an entry; wait until every batch in flight is done, and keep further ones waiting."""
        who = object()
        self._asking += 1
        self.is_shared = False
        try:
            await self._until(self._is_empty)
            self._alone = who
        finally:
            self._asking -= 1
            self._wake()
        try:
            yield
        finally:
            if self._alone is who:  # another task may be, if this one was cancelled while it was suspended
                self._alone = None
            self._wake()

    @asynccontextmanager
    async def suspended(self) -> AsyncIterator[None]:
        """
        Handle nothing for a while in the middle of a batch, or of an entry handled alone.

        Other consumers continue during that; then the batch waits its turn again, as at its beginning.
        """
        who, self._alone = self._alone, None
        self._side_by_side -= who is None
        self._wake()
        try:
            yield
            self._asking += who is not None
            self.is_shared = self._is_shared()
            try:
                await self._until(self._is_shared if who is None else self._is_empty)
                self._alone = who
            finally:
                self._asking -= who is not None
        finally:
            self._side_by_side += who is None  # the batch's own context subtracts it, even if cancelled
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
        self.is_shared = self._is_shared()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
