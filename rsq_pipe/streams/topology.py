"""Topology: which server holds a key."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import SSLConnection

from rsq_pipe.streams.endpoint import Endpoint
from rsq_pipe.streams.faults import translate
from rsq_pipe.streams.link import Link

# Settings that every connection of ours has, whatever the user says: replies are read raw, and nothing
# is sent twice behind our back (redis-py retries ten times by default; a lost reply would store twice).
_FIXED: dict[str, Any] = {"protocol": 2, "legacy_responses": False, "retry": None, "socket_timeout": None}


class Topology:
    """
    Make links to the server that holds a key.

    A single server holds every key. For a cluster the layout is asked of its nodes, once, and again
    after the cluster has said that a key moved.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._cluster: RedisCluster | None = None
        self._asking = asyncio.Lock()

    async def place(self, key: str) -> str:
        """
        Name the server that holds a key; equal names share links.

        Raises:
            ServerUnavailableError: No node of the cluster could be asked.
        """
        if not self._endpoint.is_cluster:
            return self._endpoint.address
        cluster = await self._layout()
        try:
            node = cluster.get_node_from_key(key)
        except Exception as exc:
            raise translate(exc, self._endpoint.address) from exc
        return f"{node.host}:{node.port}"

    def link(self, place: str) -> Link:
        """Make a link, not yet connected, to a place."""
        settings = {**self._endpoint.settings, **_FIXED}
        if self._endpoint.is_cluster:
            host, _, port = place.rpartition(":")
            settings |= {"host": host, "port": int(port)}
        return Link(self._endpoint.connection(**settings), place)

    async def forget(self) -> None:
        """Ask for the layout again before the next command: a key has moved, or a node is gone."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            await cluster.aclose()

    async def _layout(self) -> Any:
        async with self._asking:
            if self._cluster is None:
                nodes = [ClusterNode(host, port) for host, port in self._endpoint.nodes]
                settings = {k: v for k, v in self._endpoint.settings.items() if k != "db"}
                if self._endpoint.connection is SSLConnection:
                    settings["ssl"] = True
                cluster = RedisCluster(startup_nodes=nodes, legacy_responses=False, **settings)
                try:
                    await cluster.initialize()
                except Exception as exc:
                    await cluster.aclose()
                    raise translate(exc, self._endpoint.address) from exc
                self._cluster = cluster
        return self._cluster
