"""Cluster: servers that share the slots, for tests of redis+cluster://."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rsq_pipe.errors import StreamError
from rsq_pipe.streams.client import StreamClient
from tests.support.ports import free_port
from tests.support.server import StreamServer
from tests.support.signals import wait_until

SLOTS = 16_384
MASTERS = 3


class Cluster:
    """
    Run three masters on 127.0.0.1.

    Args:
        binary: One of `binaries()`.
        replicas: Give each master a replica, which takes over when the master is killed.
        durable: Keep everything that was accepted, even when a node is killed.
        timeout: Milliseconds after which the others give up a silent node.
    """

    def __init__(
        self, binary: Path, *, replicas: bool = False, durable: bool = False, timeout: int = 2_000
    ) -> None:
        self.nodes = [
            StreamServer(
                binary,
                tcp=True,
                appendonly=durable,
                config={
                    "cluster-enabled": "yes",
                    "cluster-port": str(free_port()),
                    "cluster-node-timeout": str(timeout),
                    "repl-diskless-sync-delay": "0",
                    **({"appendfsync": "always"} if durable else {}),
                },
            )
            for _ in range(2 * MASTERS if replicas else MASTERS)
        ]
        self._clients: list[StreamClient] = []
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """The URL that names one node."""
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    @property
    def full_url(self) -> str:
        """The URL that names every node."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}"

    async def ask(self, node: int, *command: str | int) -> Any:
        """Send a command to one node, wherever its keys are."""
        return await self._clients[node].channel.execute(*command, key="")

    async def owner(self, key: str) -> int:
        """Find the node that holds a key."""
        return (await self.holders(key))[0]

    async def holders(self, key: str) -> list[int]:
        """Find the node that holds a key and, after it, its replicas; a living node is asked."""
        for node in range(len(self.nodes)):
            try:
                slot = await self.ask(node, "CLUSTER", "KEYSLOT", key)
                ranges = await self.ask(node, "CLUSTER", "SLOTS")
            except StreamError:
                continue
            for start, end, *nodes in ranges:
                if start <= slot <= end:
                    ports = [server.port for server in self.nodes]
                    return [ports.index(port) for _, port, *_ in nodes]
            raise AssertionError(f"nobody holds slot {slot}")
        raise AssertionError("no node answers")

    async def masters(self) -> list[int]:
        """Find the nodes that hold slots."""
        ports = [server.port for server in self.nodes]
        return [
            ports.index(port) for port in {entry[2][1] for entry in await self.ask(0, "CLUSTER", "SLOTS")}
        ]

    async def move(self, key: str, *, to: int) -> None:
        """Move the slot of a key to another master, as an operator does."""
        source = await self.owner(key)
        slot = await self.ask(0, "CLUSTER", "KEYSLOT", key)
        await self.carry(key, to=to)
        new = (await self.ask(to, "CLUSTER", "MYID")).decode()
        for node in (to, source, *set(await self.masters()) - {to, source}):
            await self.ask(node, "CLUSTER", "SETSLOT", slot, "NODE", new)

    async def carry(self, key: str, *, to: int) -> None:
        """Begin to move a slot: its keys are at the new master, but the old one still holds it."""
        source = await self.owner(key)
        slot = await self.ask(0, "CLUSTER", "KEYSLOT", key)
        ids = {node: (await self.ask(node, "CLUSTER", "MYID")).decode() for node in (source, to)}
        await self.ask(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        await self.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[to])
        while keys := await self.ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 1):
            target = ("127.0.0.1", self.nodes[to].port, "", 0, 5_000)
            await self.ask(source, "MIGRATE", *target, "KEYS", *keys)

    async def fail_over(self, key: str) -> None:
        """Let a replica replace the master that holds a key; the master hands over to it."""
        master, replica, *_ = await self.holders(key)
        await self.ask(replica, "CLUSTER", "FAILOVER")
        await wait_until(lambda: self._is_owner(key, replica), what="the failover")
        await wait_until(lambda: self._follows(master), what="the old master follows")

    async def until_whole(self) -> None:
        """Wait until every node sees all slots served, and every master followed by its replica."""
        await wait_until(self._is_whole, what="the cluster is whole")

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _start(self) -> None:
        for node in self.nodes:
            self._stack.enter_context(node)
            self._clients.append(StreamClient.from_url(node.tcp_url))
        share = SLOTS // MASTERS + 1
        for number, node in enumerate(self.nodes):
            await self.ask(number, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < MASTERS:
                last = min(SLOTS, (number + 1) * share) - 1
                await self.ask(number, "CLUSTER", "ADDSLOTSRANGE", number * share, last)
            meet = ("CLUSTER", "MEET", "127.0.0.1", node.port, int(node.config["cluster-port"]))
            await self.ask(0, *meet)
        for number in range(MASTERS, len(self.nodes)):
            await self._become_replica(number, (await self.ask(number - MASTERS, "CLUSTER", "MYID")).decode())
        await self.until_whole()

    async def _end(self) -> None:
        for client in self._clients:
            await client.close()
        self._stack.close()

    async def _become_replica(self, node: int, master: str) -> None:
        async def known() -> bool:
            try:
                await self.ask(node, "CLUSTER", "REPLICATE", master)
            except StreamError:  # the two have not heard of each other yet
                return False
            return True

        await wait_until(known, what="the replica knows its master")

    async def _is_owner(self, key: str, node: int) -> bool:
        return await self.owner(key) == node

    async def _follows(self, node: int) -> bool:
        return b"master_link_status:up" in await self.ask(node, "INFO", "replication")

    async def _is_whole(self) -> bool:
        try:
            for node in range(len(self.nodes)):
                info = (await self.ask(node, "CLUSTER", "INFO")).decode()
                if "cluster_state:ok" not in info or f"cluster_size:{MASTERS}" not in info:
                    return False
                replication = (await self.ask(node, "INFO", "replication")).decode()
                if "role:slave" in replication and "master_link_status:up" not in replication:
                    return False
        except StreamError:
            return False
        return True
