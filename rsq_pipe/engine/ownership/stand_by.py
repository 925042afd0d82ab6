"""StandBy: waits for a lease to become free, asking for all leases of the process at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rsq_pipe.errors import StreamError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.waiting import first
from rsq_pipe.streams.worker import is_gone

PERIOD = 0.5
"""Seconds between two checks of the leases."""


class StandBy:
    """
    Wait for leases that other processes hold: one command for all of them, and none if no task waits.

    Args:
        client: The server; in a cluster the leases are all in one slot.
    """

    def __init__(self, client: StreamClient) -> None:
        self._channel = client.channel
        self._waiting: dict[asyncio.Event, Sequence[str]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def until_free(self, keys: Sequence[str], stopping: asyncio.Event) -> None:
        """
        Wait until one of some leases may be free, the server cannot be asked, or `stopping` is set.

        Redis: MGET.
        """
        called = asyncio.Event()
        self._waiting[called] = keys
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask())
        try:
            await first(called.wait(), stopping.wait(), _end(self._asking))
        finally:
            del self._waiting[called]
            if not self._waiting:
                self._asking.cancel()

    async def _ask(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            wanted = {called: keys for called, keys in self._waiting.items() if not called.is_set()}
            names = sorted({key for keys in wanted.values() for key in keys})
            if not names:
                continue
            try:
                found = await self._channel.execute("MGET", *names, key=names[0])
            except StreamError:  # a task that tries to take one gets it too, and waits it out
                found = [None] * len(names)
            free = {key for key, holder in zip(names, found, strict=True) if _is_free(holder)}
            for called, keys in wanted.items():
                if not free.isdisjoint(keys):
                    called.set()


def _is_free(holder: bytes | None) -> bool:
    return holder is None or is_gone(holder.decode())


async def _end(task: asyncio.Task[None]) -> None:
    """Wait for the end of a task that others wait for too."""
    await asyncio.wait([task])
