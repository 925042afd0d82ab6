"""LinkPool: the connections of one event loop to one endpoint."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias
from weakref import WeakKeyDictionary

from redis.exceptions import ResponseError

from rsq_pipe.errors import ServerUnavailableError, StreamError
from rsq_pipe.streams.endpoint import Endpoint
from rsq_pipe.streams.faults import cannot_serve
from rsq_pipe.streams.link import Command, Link
from rsq_pipe.streams.topology import Topology

_Identity: TypeAlias = tuple[Any, ...]


class LinkPool:
    """
    Send commands over pooled links; at most `bound` at once.

    Pools are found by everything that distinguishes two connections (address, user, credential, TLS,
    database, timeouts) and by event loop: a socket belongs to the loop that opened it.
    """

    _pools: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Identity, LinkPool]]] = (
        WeakKeyDictionary()
    )

    def __init__(self, endpoint: Endpoint, *, bound: int, patience: float) -> None:
        self.topology = Topology.of(endpoint)
        self._address = endpoint.address
        self._idle: dict[str, list[Link]] = defaultdict(list)
        self._free = asyncio.Semaphore(bound)
        self._patience = patience
        self._users = 0
        self.is_closed = False
        """Whether it keeps no links any more: its last user left, or `close_all` was called."""

    @classmethod
    def join(cls, endpoint: Endpoint, *, bound: int, patience: float) -> LinkPool:
        """Find or make the running loop's pool for an endpoint, and count one more user."""
        # A pool's sockets refer to its loop, so a closed loop would never be freed by itself.
        for loop in [loop for loop in cls._pools if loop.is_closed()]:
            del cls._pools[loop]
        pools = cls._pools.setdefault(asyncio.get_running_loop(), {})
        identity = (*endpoint.identity, bound, patience)
        pool = pools.setdefault(identity, cls(endpoint, bound=bound, patience=patience))
        pool._users += 1
        return pool

    async def leave(self) -> None:
        """Count one user less; the last one closes the links."""
        if self.is_closed:
            return
        self._users -= 1
        if self._users:
            return
        pools = self._pools.get(asyncio.get_running_loop(), {})
        for identity in [identity for identity, pool in pools.items() if pool is self]:
            del pools[identity]
        await self.close()

    @classmethod
    async def close_all(cls) -> None:
        """Close every pool of the running loop."""
        for pool in cls._pools.pop(asyncio.get_running_loop(), {}).values():
            await pool.close()

    async def close(self) -> None:
        """Close idle links; links in use are closed after their use."""
        self.is_closed = True
        idle, self._idle = self._idle, defaultdict(list)
        for link in (link for links in idle.values() for link in links):
            await link.close()
        self.topology.forget()

    async def exchange(
        self, commands: Sequence[Command], key: str, *, timeout: float, place: str = ""
    ) -> tuple[str, list[Any]]:
        """
        Send commands over a free link in one write, to the server that holds a key, or to another place.

        Returns:
            The server's name, and one reply per command; error replies are items, not raised.

        Raises:
            ServerUnavailableError: No link became free within the pool's patience; or from the link.
        """
        if self._free.locked():
            await self._wait_for_one()
        else:
            await self._free.acquire()
        try:
            place = place or self.topology.single or await self.topology.place(key)
            link = self._idle[place].pop() if self._idle[place] else self.topology.link(place)
            try:
                replies = await link.exchange(commands, timeout=timeout, was_idle=True)
            except StreamError:
                self.topology.forget()
                raise
            finally:
                if link.is_open and not self.is_closed:
                    self._idle[link.address].append(link)
                else:
                    await link.close()
        finally:
            self._free.release()
        if any(isinstance(reply, ResponseError) and cannot_serve(reply) for reply in replies):
            self.topology.forget()
        return link.address, replies

    async def _wait_for_one(self) -> None:
        try:
            # Not wait_for: in Python 3.11 it may swallow a cancellation, or lose what it acquired.
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError as exc:
            raise ServerUnavailableError(
                f"server {self._address}: no connection came free within {self._patience:g}s; "
                "raise max_connections",
                address=self._address,
            ) from exc
