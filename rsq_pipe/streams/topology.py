"""Topology: which server holds a key."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

from redis import DriverInfo
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError

from rsq_pipe.errors import ServerUnavailableError, SettleError, StreamError
from rsq_pipe.streams.endpoint import Endpoint, Node, parted, spelt
from rsq_pipe.streams.link import Command, Link, checked

# Settings of all our connections, whatever the user sets: replies are read raw, and nothing is resent
# unnoticed (redis-py retries ten times by default; after a lost reply it would store twice).
_FIXED: dict[str, Any] = {
    "protocol": 2,
    "legacy_responses": False,
    "retry": None,
    "socket_timeout": None,
    # Else redis-py reads its version from a file for each connection, which fails if no descriptor is free.
    "driver_info": DriverInfo(),
}

ANSWER = 2.0
"""Seconds that a node or sentinel has to answer where keys are, before the next one is asked."""


class Topology:
    """Make links to the server that holds a key. This class is for a single server, which holds every key."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.single = "" if endpoint.service or endpoint.is_cluster else endpoint.address
        """The place that holds every key; empty if it has to be asked for."""

    @staticmethod
    def of(endpoint: Endpoint) -> Topology:
        """Choose the kind that an endpoint needs."""
        if endpoint.service:
            return Watched(endpoint)
        return Spread(endpoint) if endpoint.is_cluster else Topology(endpoint)

    async def place(self, key: str) -> str:  # noqa: ARG002  one server holds all
        """
        Name the server that holds a key; places with equal names share links.

        Raises:
            ServerUnavailableError: No server that knows the layout could be reached.
        """
        return self.single

    async def places(self) -> set[str]:
        """
        Name all servers that hold keys.

        Raises:
            ServerUnavailableError: No server that knows the layout could be reached.
        """
        return {await self.place("")}

    def link(self, place: str) -> Link:
        """Make a link, not yet connected, to a place."""
        return self._link(place, self._endpoint.settings)

    def forget(self) -> None:
        """Ask again before the next command: a key has moved, or a server is gone."""

    def follow(self, reply: AskError, place: str) -> str:  # noqa: ARG002  only nodes of a cluster send away
        """
        Note where a reply redirects us.

        Args:
            reply: MOVED or ASK.
            place: The place it came from.

        Returns:
            For ASK, the node that must be sent ASKING this time; empty for MOVED.
        """
        return ""

    def _link(self, place: str, settings: Mapping[str, Any]) -> Link:
        return Link(self._endpoint.connection(**{**settings, **_FIXED}), place, self._endpoint.address)

    async def _ask(self, node: Node, settings: Mapping[str, Any], *questions: Command) -> list[Any]:
        """Send questions to one node over a connection of its own."""
        place = spelt(*node)
        link = self._link(place, {**settings, "host": node[0], "port": node[1]})
        try:
            replies = await link.exchange(questions, timeout=ANSWER)
            return [checked(reply, place) for reply in replies]
        finally:
            await link.close()


class Spread(Topology):
    """A cluster: its nodes are asked for the layout, once, and again when one is gone."""

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

    async def places(self) -> set[str]:
        await self.place("")  # the layout, if it is not known
        return {place for place in self._slots or () if place}

    def link(self, place: str) -> Link:
        host, port = parted(place)
        return self._link(place, {**self._endpoint.settings, "host": host, "port": port})

    def forget(self) -> None:
        self._slots = None

    def follow(self, reply: AskError, place: str) -> str:
        # A node that does not know the name by which it is reached leaves the host out.
        node = (reply.host or parted(place)[0], reply.port)
        self._known.add(node)
        if not isinstance(reply, MovedError):
            return spelt(*node)
        if self._slots is not None:
            self._slots[reply.slot_id] = spelt(*node)
        return ""

    async def _layout(self) -> list[str]:
        ranges, host = await self._ranges()
        slots = [""] * REDIS_CLUSTER_HASH_SLOTS
        known = set(self._endpoint.nodes)
        for start, end, *nodes in ranges:
            here = [((name or b"").decode() or host, port) for name, port, *_ in nodes]
            slots[start : end + 1] = [spelt(*here[0])] * (end + 1 - start)
            known |= set(here)  # replicas too: one of them may be all that is left
        self._known = known
        return slots

    async def _ranges(self) -> tuple[list[Any], str]:
        """
        Ask the nodes, one after another, until one knows which node holds which slots.

        Not always in the same order: a node that is cut off from the others may keep giving the old layout.
        """
        failures: list[StreamError] = []
        for node in random.sample(sorted(self._known), len(self._known)):
            try:
                (ranges,) = await self._ask(node, self._endpoint.settings, ["CLUSTER", "SLOTS"])
                if ranges:
                    return ranges, node[0]
            except StreamError as exc:
                failures.append(exc)
        address = self._endpoint.address
        if failures and all("cluster support disabled" in str(exc) for exc in failures):
            raise SettleError(
                f"server {address} is not a cluster; address it as redis://HOST:PORT", reply=str(failures[0])
            ) from failures[0]
        if not failures:
            raise ServerUnavailableError(
                f"cluster {address}: no node that answers holds any slot", address=address
            )
        raise _gravest(failures)


class Watched(Topology):
    """The primary that sentinels watch: they are asked which server it is, and again when it fails."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._primary = ""
        self._asking = asyncio.Lock()

    async def place(self, key: str) -> str:  # noqa: ARG002  the primary holds all
        async with self._asking:
            if not self._primary:
                self._primary = await self._named()
            return self._primary

    def link(self, place: str) -> Link:
        host, port = parted(place)
        settings = {**self._endpoint.settings, "host": host, "port": port}
        return self._link(place, settings | {"redis_connect_func": _as_primary})

    def forget(self) -> None:
        self._primary = ""

    async def _named(self) -> str:
        """
        Ask all sentinels, and believe the one that saw the latest failover, or is in the middle of it.

        The others learn of it a moment later; by then the old primary may be back, and not know either.
        """
        service = self._endpoint.service
        questions = (["SENTINEL", "MASTER", service], ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", service])
        asked = [self._ask(n, self._endpoint.sentinel_settings, *questions) for n in self._endpoint.nodes]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        known = [answer for answer in answers if isinstance(answer, list)]
        if not known:
            raise _gravest([exc for exc in answers if isinstance(exc, StreamError)])
        _, (host, port) = max(known, key=lambda answer: _recency(answer[0]))
        return spelt(host.decode(), int(port))


def _recency(flat: list[bytes]) -> tuple[int, bool]:
    facts = dict(zip(flat[::2], flat[1::2], strict=True))
    return int(facts[b"config-epoch"]), b"failover_in_progress" in facts[b"flags"]


async def _as_primary(connection: Any) -> None:
    """
    Log in, and refuse a replica: a primary may have been demoted since we got its address.

    A replica itself refuses writes, but its answers to reads may be outdated.
    """
    await connection.on_connect()
    await connection.send_command("ROLE")
    if (await connection.read_response(disable_decoding=True))[0] != b"master":
        raise ConnectionError("it is a replica by now")


def _gravest(failures: Sequence[StreamError]) -> StreamError:
    """Choose the error to report: that of a node that refuses says more than that of an unreachable one."""
    return next((exc for exc in failures if not exc.retryable), failures[-1])
