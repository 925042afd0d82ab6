"""UncountedDeliveries: keeps entries that only wait in a worker from counting as delivered meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from rsq_pipe.errors import StreamError
from rsq_pipe.model.delivery import Delivered, Delivery
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.script import SET_DELIVERIES

_ENTRIES_PER_CALL = 200  # the script blocks the server

_CALL_TIMEOUT = 1.0
"""Maximum seconds for a call if nothing depends on its success."""


class UncountedDeliveries:
    """
    Take back the last delivery of entries that wait, and count it again before they are handled.

    A process killed while it holds waiting entries has handled none of them. Without this, each such kill
    would count against them, and after a few they would be dead-lettered as poison records.

    Args:
        client: The server.
        group: The group in which they are pending.
        consumer: Returns the name of the consumer for which they are pending.
    """

    def __init__(self, client: StreamClient, group: str, consumer: Callable[[], str]) -> None:
        self._client = client
        self._group = group
        self._consumer = consumer
        self._uncounted: set[Delivery] = set()

    async def uncount(self, deliveries: Iterable[Delivered]) -> None:
        """Reduce the delivery counts of entries by one; if the server is unreachable, they stay."""
        fresh = [one for one in _plain(deliveries) if one.deliveries > 0 and one not in self._uncounted]
        # Before the call: whether it was applied may never be known.
        self._uncounted.update(fresh)
        with contextlib.suppress(StreamError, TimeoutError):
            async with asyncio.timeout(_CALL_TIMEOUT):
                await self._count(fresh, less=1)

    async def recount(self, deliveries: Iterable[Delivered], stopping: asyncio.Event) -> None:
        """
        Restore the counts of entries that no longer wait: they are handled now.

        Waits until the server is back, or the worker must stop: with a wrong count they would not be settled,
        but delivered once more.
        """
        back = [one for one in _plain(deliveries) if one in self._uncounted] if self._uncounted else []
        if back:
            await Backoff(self._group).until_works(lambda: self._count(back, less=0), stopping)
            self._uncounted.difference_update(back)

    async def recount_all(self) -> None:
        """Restore all counts, if that works at once: the worker hands the entries back."""
        back, self._uncounted = self._uncounted, set()
        with contextlib.suppress(StreamError, TimeoutError):
            async with asyncio.timeout(_CALL_TIMEOUT):
                await self._count(back, less=0)

    async def _count(self, deliveries: Iterable[Delivery], *, less: int) -> None:
        by_stream: dict[str, list[Delivery]] = {}
        for one in deliveries:
            by_stream.setdefault(one.stream, []).append(one)
        for stream, ones in by_stream.items():
            for start in range(0, len(ones), _ENTRIES_PER_CALL):
                words = [
                    (one.id, str(one.deliveries - less)) for one in ones[start : start + _ENTRIES_PER_CALL]
                ]
                flat = [word for pair in words for word in pair]
                arguments = [self._group, self._consumer(), *flat]
                await self._client.channel.run(SET_DELIVERIES, [stream], arguments)


def _plain(deliveries: Iterable[Delivered]) -> list[Delivery]:
    return [Delivery(one.stream, one.id, one.deliveries) for one in deliveries]
