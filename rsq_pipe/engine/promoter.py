"""Promoter: sends the retries of one stage back to it when they are due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import StreamError
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.script import PROMOTE
from rsq_pipe.streams.waiting import first

AT_ONCE = 500
"""Records one call moves."""

LONGEST_PAUSE = 1.0
"""Seconds between two looks, at most: a process that put in a record and died looks for it no more."""


class Promoter:
    """
    Move due records from a stage's retry set to its `again` stream. Several promoters share the work.

    Args:
        client: The server.
        graph, stage: Whose retries.
        added: Set when this process has put a record into the set: it may be due before all others.
        some: Tells whether the set held anything when the pipeline was last looked at.
    """

    def __init__(
        self,
        client: StreamClient,
        graph: Graph,
        stage: Stage,
        added: asyncio.Event,
        some: Callable[[], bool] = lambda: True,
    ) -> None:
        self._added = added
        self._some = some
        keys = Keyspace(graph.pipeline)
        self._channel = client.channel
        self._keys = [keys.retry(stage), keys.again(stage)]
        self._name = f"{stage.name} (retry)"

    async def run(self, stopping: asyncio.Event) -> None:
        """
        Promote until `stopping` is set.

        Delivery: a record moves in one step; it is in the set or in the stream, never in both.
        Redis: promote.lua.
        """
        backoff = Backoff(self._name)
        while not stopping.is_set():
            if not self._added.is_set() and not self._some():
                await first(stopping.wait(), self._added.wait(), asyncio.sleep(LONGEST_PAUSE))
                continue
            self._added.clear()
            try:
                moved, due_in = await self._channel.run(PROMOTE, self._keys, [AT_ONCE])
            except StreamError as exc:
                if not exc.retryable:
                    raise
                await backoff.wait(exc, stopping)
                continue
            backoff.reset()
            if moved < AT_ONCE:
                pause = LONGEST_PAUSE if due_in < 0 else min(LONGEST_PAUSE, due_in / 1000)
                await first(stopping.wait(), self._added.wait(), asyncio.sleep(pause))
