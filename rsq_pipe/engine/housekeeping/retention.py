"""Retention: trims what every group of a stream has acknowledged, and nothing else."""

from __future__ import annotations

from rsq_pipe.engine.keyspace import Keyspace, groups, published
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.script import TRIM

AT_REST = 30.0
"""Seconds between two trims if nothing was settled in between."""


class Retention:
    """
    Trim the pipeline's own streams, and those it publishes once anyone reads them through a group.

    Streams from outside belong to their producers, and dead letters stay.

    Args:
        client: The server.
        graph: The pipeline; `keep` retains acknowledged entries longer.
    """

    def __init__(self, client: StreamClient, graph: Graph) -> None:
        keys = Keyspace(graph.pipeline)
        kept = {keys.dlq(stage) for stage in graph.stages}
        own = f"{{{graph.pipeline}}}:"
        self._channel = client.channel
        self._meta = keys.meta
        self._keep = round(graph.keep * 1000)
        readers = groups(graph)
        self._readers = {
            stream: names
            for stream, names in readers.items()
            if stream.startswith(own) and stream not in kept
        } | {stream: readers.get(stream, []) for stream in published(graph)}

    async def trim(self, *, exactly: bool = False) -> int:
        """
        Trim once.

        Args:
            exactly: To the entry; otherwise by whole nodes, which costs the server almost nothing.

        Returns:
            How many entries were removed.

        Redis: trim.lua, which notes how far each group has got, computes the bound and trims in one step, and
        does nothing if a group that should exist is missing.
        """
        how = "=" if exactly else "~"
        return sum(
            [
                await self._channel.run(TRIM, [stream, self._meta], [self._keep, how, *names])
                for stream, names in self._readers.items()
            ]
        )
