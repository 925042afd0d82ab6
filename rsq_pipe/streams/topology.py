"""Topology: which server holds a key."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError

from rsq_pipe.errors import ServerUnavailableError, SettleError, StreamError
from rsq_pipe.streams.endpoint import Endpoint, Node
from rsq_pipe.streams.link import Command, Link, checked

# Settings that every connection of ours has, whatever the user says: replies are read raw, and nothing
# is sent twice behind our back (redis-py retries ten times by default; a lost reply would store twice).
_FIXED: dict[str, Any] = {"protocol": 2, "legacy_responses": False, "retry": None, "socket_timeout": None}

ANSWER = 2.0
"""Seconds in which a node or sentinel has to say where things are, before the next one is asked."""


class Topology:
    """Make links to the server that holds a key. This one is for a single server, which holds every key."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @staticmethod
    def of(endpoint: Endpoint) -> Topology:
        """Choose the kind that an endpoint needs."""
        if endpoint.service:
            return Watched(endpoint)
        return Spread(endpoint) if endpoint.is_cluster else Topology(endpoint)

    async def place(self, key: str) -> str:  # noqa: ARG002  one server holds all
        """
        Name the server that holds a key; equal names share links.

        Raises:
            ServerUnavailableError: Nobody who knows could be asked.
        """
        return self._endpoint.address

    def link(self, place: str) -> Link:
        """Make a link, not yet connected, to a place."""
        return self._link(place, self._endpoint.settings)

    def forget(self) -> None:
        """Ask anew before the next command: a key has moved, or a server is gone."""

    def follow(self, reply: AskError, place: str) -> str:  # noqa: ARG002  only nodes of a cluster send away
        """
        Note where a reply sends us.

        Args:
            reply: MOVED or ASK.
            place: Who sent it.

        Returns:
            For ASK the node to be told ASKING, this time; empty for MOVED.
        """
        return ""

    def _link(self, place: str, settings: Mapping[str, Any]) -> Link:
        return Link(self._endpoint.connection(**{**settings, **_FIXED}), place)

    async def _ask(self, nodes: Iterable[Node], settings: Mapping[str, Any], command: Command) -> Any:
        """
        Ask nodes, one after the other, until one has an answer that says something.

        Not always in the same order: one that is cut off from the others may go on answering what was.
        """
        asked = list(nodes)
        random.shuffle(asked)
        failure: StreamError | None = None
        for host, port in asked:
            place = spelt(host, port)
            link = self._link(place, {**settings, "host": host, "port": port})
            try:
                (reply,) = await link.exchange([command], timeout=ANSWER)
                if checked(reply, place):
                    return reply, host
            except StreamError as exc:
                failure = exc if failure is None or failure.retryable else failure
            finally:
                await link.close()
        raise failure or SettleError(
            f"server {self._endpoint.address}: nobody there knows where the data is", reply=""
        )


class Spread(Topology):
    """A cluster: the layout is asked of its nodes, once, and again when one is gone."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._known = set(endpoint.nodes)
        self._slots: list[str] | None = None
        self._asking = asyncio.Lock()

    async def place(self, key: str) -> str:
        async with self._asking:
            if self._slots is None:
                self._slots = await self._layout()
            slots = self._slots
        if place := slots[key_slot(key.encode())]:
            return place
        self.forget()
        raise ServerUnavailableError(
            f"cluster {self._endpoint.address}: no node holds the slot of key {key!r}",
            address=self._endpoint.address,
        )

    def link(self, place: str) -> Link:
        host, port = parted(place)
        return self._link(place, {**self._endpoint.settings, "host": host, "port": port})

    def forget(self) -> None:
        self._slots = None

    def follow(self, reply: AskError, place: str) -> str:
        # A node that does not know under which name it is reached leaves the host out.
        node = (reply.host or parted(place)[0], reply.port)
        self._known.add(node)
        if not isinstance(reply, MovedError):
            return spelt(*node)
        if self._slots is not None:
            self._slots[reply.slot_id] = spelt(*node)
        return ""

    async def _layout(self) -> list[str]:
        try:
            ranges, host = await self._ask(self._known, self._endpoint.settings, ["CLUSTER", "SLOTS"])
        except SettleError as exc:
            if "cluster support disabled" not in exc.reply:
                raise
            raise SettleError(
                f"server {self._endpoint.address} is no cluster; address it as redis://HOST:PORT",
                reply=exc.reply,
            ) from exc
        slots = [""] * REDIS_CLUSTER_HASH_SLOTS
        known = set(self._endpoint.nodes)
        for start, end, *nodes in ranges:
            here = [((name or b"").decode() or host, port) for name, port, *_ in nodes]
            slots[start : end + 1] = [spelt(*here[0])] * (end + 1 - start)
            known |= set(here)  # replicas, too: one of them may be all that is left
        self._known = known
        return slots


class Watched(Topology):
    """The primary that sentinels watch: they are asked which server it is, and again when it fails."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._primary = ""
        self._asking = asyncio.Lock()

    async def place(self, key: str) -> str:  # noqa: ARG002  the primary holds all
        async with self._asking:
            if not self._primary:
                question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._endpoint.service]
                settings = self._endpoint.sentinel_settings
                (host, port), _ = await self._ask(self._endpoint.nodes, settings, question)
                self._primary = spelt(host.decode(), int(port))
            return self._primary

    def link(self, place: str) -> Link:
        host, port = parted(place)
        settings = {**self._endpoint.settings, "host": host, "port": port}
        return self._link(place, settings | {"redis_connect_func": _as_primary})

    def forget(self) -> None:
        self._primary = ""


async def _as_primary(connection: Any) -> None:
    """
    Log in, and refuse a replica: a primary may have been demoted since its address was told.

    Writes to a replica are refused by itself; what it says when it is read may be old.
    """
    await connection.on_connect()
    await connection.send_command("INFO", "replication")
    if b"role:master" not in await connection.read_response(disable_decoding=True):
        raise ConnectionError("it is a replica by now")


def spelt(host: str, port: int) -> str:
    """Name a node as a place."""
    return f"{host}:{port}"


def parted(place: str) -> Node:
    """Take the name of a place apart; the host may be an IPv6 address."""
    host, _, port = place.rpartition(":")
    return host, int(port)
