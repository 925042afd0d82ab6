"""Cluster: three servers that share the slots, for tests of redis+cluster://."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rsq_pipe.streams.client import StreamClient
from tests.support.server import StreamServer
from tests.support.signals import wait_until

SLOTS = 16_384
NODES = 3


class Cluster:
    """
    Run three masters on 127.0.0.1.

    Args:
        binary: One of `binaries()`.
    """

    def __init__(self, binary: Path) -> None:
        self.nodes = [
            StreamServer(
                binary,
                tcp=True,
                config={
                    "cluster-enabled": "yes",
                    "cluster-port": str(_free_port()),
                    "cluster-node-timeout": "2000",
                },
            )
            for _ in range(NODES)
        ]
        self._clients: list[StreamClient] = []
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    async def ask(self, node: int, *command: str | int) -> Any:
        """Send a command to one node, wherever its keys are."""
        return await self._clients[node].channel.execute(*command, key="")

    async def owner(self, key: str) -> int:
        """Find the node that holds a key."""
        slot = await self.ask(0, "CLUSTER", "KEYSLOT", key)
        for start, end, (_, port, *_), *_ in await self.ask(0, "CLUSTER", "SLOTS"):
            if start <= slot <= end:
                return [node.port for node in self.nodes].index(port)
        raise AssertionError(f"nobody holds slot {slot}")

    async def move(self, key: str, *, to: int) -> None:
        """Move the slot of a key to another node, as an operator does."""
        source = await self.owner(key)
        slot = await self.ask(0, "CLUSTER", "KEYSLOT", key)
        ids = [(await self.ask(node, "CLUSTER", "MYID")).decode() for node in range(NODES)]
        await self.ask(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        await self.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[to])
        while keys := await self.ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            target = ("127.0.0.1", self.nodes[to].port, "", 0, 5_000)
            await self.ask(source, "MIGRATE", *target, "KEYS", *keys)
        for node in (to, source, *{0, 1, 2} - {to, source}):
            await self.ask(node, "CLUSTER", "SETSLOT", slot, "NODE", ids[to])

    async def __aenter__(self) -> Self:
        for node in self.nodes:
            self._stack.enter_context(node)
            self._clients.append(StreamClient.from_url(node.tcp_url))
        share = SLOTS // NODES + 1
        for number, node in enumerate(self.nodes):
            await self.ask(number, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            last = min(SLOTS, (number + 1) * share) - 1
            await self.ask(number, "CLUSTER", "ADDSLOTSRANGE", number * share, last)
            meet = ("CLUSTER", "MEET", "127.0.0.1", node.port, int(node.config["cluster-port"]))
            await self.ask(0, *meet)
        await wait_until(self._is_whole, timeout=15.0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.close()
        self._stack.close()

    async def _is_whole(self) -> bool:
        for node in range(NODES):
            info = (await self.ask(node, "CLUSTER", "INFO")).decode()
            if "cluster_state:ok" not in info or f"cluster_size:{NODES}" not in info:
                return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
