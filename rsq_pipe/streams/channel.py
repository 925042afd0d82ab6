"""Channel: sends commands to the server that holds their key, and never twice unless asked to."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias
from weakref import WeakKeyDictionary

from redis.exceptions import AskError, NoScriptError, ResponseError

from rsq_pipe.errors import ServerUnavailableError, StreamError
from rsq_pipe.streams.endpoint import Endpoint
from rsq_pipe.streams.faults import cannot_serve
from rsq_pipe.streams.link import Command, Link, checked
from rsq_pipe.streams.script import Script
from rsq_pipe.streams.topology import Topology

_TRIED = 200_000
"""Names tried to find a key for each server of a cluster; each of its 16,384 slots gets some."""

_Identity: TypeAlias = tuple[Any, ...]

_MOVES = 5  # how often a command follows its key to another node of a cluster before it gives up


class Channel:
    """
    Send commands to an endpoint over pooled links; safe to use from several event loops.

    Args:
        endpoint: The server or cluster.
        bound: Maximum commands in progress, per event loop.
        patience: Seconds that a further command waits for its turn.
        timeout: Maximum seconds for one command.
    """

    def __init__(self, endpoint: Endpoint, *, bound: int, patience: float, timeout: float) -> None:
        self.endpoint = endpoint
        self.address = endpoint.address
        self.timeout = timeout
        self._bound = bound
        self._patience = patience
        self._pools: dict[asyncio.AbstractEventLoop, LinkPool] = {}
        self._own: set[Link] = set()

    async def execute(self, *command: str | bytes | float, key: str, timeout: float | None = None) -> Any:
        """
        Send one command to the server that holds `key` and return its raw reply.

        Raises:
            StreamError: Translated from the server's or the connection's.

        Cancellation: closes the connection it was sent on; the command may have been applied.
        """
        (reply,) = await self.exchange([command], key=key, timeout=timeout)
        return checked(reply, self.address)

    async def exchange(
        self, commands: Sequence[Command], *, key: str, timeout: float | None = None
    ) -> list[Any]:
        """Send commands in one write to the server that holds `key`; error replies are items, not raised."""
        timeout = timeout or self.timeout
        place, replies = await self._pool().exchange(commands, key, timeout=timeout)
        if not any(isinstance(reply, AskError) for reply in replies):
            return replies
        units, answers = [[command] for command in commands], [[reply] for reply in replies]
        return [reply for (reply,) in await self._followed(units, answers, place, key, timeout)]

    async def scatter(self, commands: Sequence[Command], keys: Sequence[str]) -> list[Any]:
        """
        Send commands, each to the server that holds its own key, in one write per server.

        Returns:
            One reply per command; error replies are items.

        Raises:
            StreamError: One of the servers cannot be reached. The replies of the others are lost.
        """
        topology = self._pool().topology
        places: dict[str, list[int]] = {}
        for at, key in enumerate(keys):
            places.setdefault(await topology.place(key), []).append(at)
        groups = list(places.values())
        asked = [self.exchange([commands[at] for at in group], key=keys[group[0]]) for group in groups]
        replies: list[Any] = [None] * len(commands)
        for group, found in zip(groups, await asyncio.gather(*asked), strict=True):
            for at, reply in zip(group, found, strict=True):
                # A key that has moved since is requested alone, and followed.
                moved = isinstance(reply, AskError)
                replies[at] = (await self.exchange([commands[at]], key=keys[at]))[0] if moved else reply
        return replies

    async def key_of_each_server(self) -> list[str]:
        """
        Name a key on each server that holds any, for commands that ask about a server.

        Raises:
            ServerUnavailableError: No server that knows the layout could be reached.
        """
        topology = self._pool().topology
        wanted, found = await topology.places(), dict[str, str]()
        for number in range(_TRIED):
            if len(found) == len(wanted):
                break
            place = await topology.place(str(number))
            found.setdefault(place, str(number))
        return [key for place, key in found.items() if place in wanted]

    async def transaction(self, commands: Sequence[Command], *, key: str) -> list[Any]:
        """
        Send MULTI, commands and EXEC, and return the reply to each command; error replies are items.

        In a cluster, one node runs all of it or none; a redirection is followed with the whole transaction.
        """
        unit: list[Command] = [["MULTI"], *commands, ["EXEC"]]
        place, replies = await self._pool().exchange(unit, key, timeout=self.timeout)
        (replies,) = await self._followed([unit], [replies], place, key, self.timeout)
        return replies

    async def _followed(
        self,
        units: Sequence[Sequence[Command]],
        replies: list[list[Any]],
        place: str,
        key: str,
        timeout: float,
    ) -> list[list[Any]]:
        """Follow redirections to other nodes, each command with those it belongs to, up to a limit."""
        for _ in range(_MOVES - 1):
            # A key may move between two commands of one write: only the redirected ones are sent again.
            away = {index: sent for index, unit in enumerate(replies) if (sent := _sent_away(unit))}
            if not away:
                break
            pool = self._pool()
            ask = pool.topology.follow([*away.values()][-1], place)
            if not ask:
                await pool.drop(place)
            # ASKING applies to the next command, and to a transaction that begins with it.
            asking: list[Command] = [["ASKING"]] if ask else []
            commands = [command for index in away for command in (*asking, *units[index])]
            place, answers = await pool.exchange(commands, key, timeout=timeout, place=ask)
            rest = iter(answers)
            for index in away:
                replies[index] = [next(rest) for _ in (*asking, *units[index])][len(asking) :]
        return replies

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
        """Run a script on the server that holds `keys[0]`: by its hash, or in full if the server lacks it."""
        call = (len(keys), *keys, *args)
        by_hash = ("EVALSHA", script.sha, *call)
        pool = self._pools.get(asyncio.get_running_loop())
        if pool is None or pool.is_closed:
            pool = self._pool()
        _, (reply,) = await pool.exchange([by_hash], keys[0], timeout=self.timeout)
        if not isinstance(reply, ResponseError):
            return reply
        if isinstance(reply, AskError):
            (reply,) = await self.exchange([by_hash], key=keys[0])
        if isinstance(reply, NoScriptError):
            # Not SCRIPT LOAD and then the call again: between the two the scripts may be flushed, or another
            # server may take over, again and again.
            (reply,) = await self.exchange([("EVAL", script.source, *call)], key=keys[0])
        return checked(reply, self.address)

    async def link(self, key: str) -> Link:
        """Make an exclusive link to `key`'s server, for blocking reads; `release` it afterwards."""
        pool = self._pool()
        link = pool.topology.link(await pool.topology.place(key))
        self._own.add(link)
        return link

    async def release(self, link: Link) -> None:
        """Close an exclusive link; `close` does this for links that were not released."""
        self._own.discard(link)
        await link.close()

    def moved(self) -> None:
        """Look up the keys again before the next command: a link failed, or its server serves no more."""
        self._pool().topology.forget()

    async def close(self) -> None:
        """Release the running loop's links; idempotent."""
        own, self._own = self._own, set()
        for link in own:
            await link.close()
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.leave()

    def _pool(self) -> LinkPool:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None or pool.is_closed:
            self._pools = {loop: pool for loop, pool in self._pools.items() if not loop.is_closed()}
            pool = self._pools[loop] = LinkPool.join(
                self.endpoint, bound=self._bound, patience=self._patience
            )
        return pool


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
                await self.drop(place)
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
            await self.drop(link.address)
        return link.address, replies

    async def drop(self, place: str) -> None:
        """Close the idle links to one of several places, which fails or redirects: it may not come back."""
        if not self.topology.single:
            for link in self._idle.pop(place, ()):
                await link.close()

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


def _sent_away(replies: Sequence[Any]) -> AskError | None:
    """Find the reply that redirects to another node: MOVED (in redis-py a subclass of ASK), or ASK."""
    return next((reply for reply in replies if isinstance(reply, AskError)), None)
