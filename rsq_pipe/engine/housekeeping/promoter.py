"""Promoter: moves the due retries of one stage back to it."""

from __future__ import annotations

import asyncio
import math
import time

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import StreamError
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.script import PROMOTE
from rsq_pipe.streams.waiting import first

AT_ONCE = 500
"""How many records one call moves."""


class Promoter:
    """
    Move due records from a stage's retry set to its `again` stream. Several promoters share the work.

    Args:
        client: The server.
        graph, stage: The pipeline, and the stage whose retries they are.
        added: Set when the retry set should be checked: this process has added a record that may be due
            before all others, or processes that did so may have died.
    """

    def __init__(self, client: StreamClient, graph: Graph, stage: Stage, added: asyncio.Event) -> None:
        self._added = added
        keys = Keyspace(graph.pipeline)
        self._channel = client.channel
        self._keys = [keys.retry(stage), keys.again_stream(stage)]
        self._name = f"{stage.name} (retry)"

    async def run(self, stopping: asyncio.Event) -> None:
        """
        Promote until `stopping` is set.

        Delivery: a record moves in one step; it is in the set or in the stream, never in both.
        Redis: promote.lua.
        """
        backoff = Backoff(self._name)
        due = math.inf
        while not stopping.is_set():
            await self._until(due, stopping)
            if stopping.is_set():
                return
            self._added.clear()
            due = time.monotonic()  # try again if this fails
            try:
                moved, due_in = await self._channel.run(PROMOTE, self._keys, [AT_ONCE])
            except StreamError as exc:
                if not exc.retryable:
                    raise
                await backoff.wait(exc, stopping)
                continue
            backoff.reset()
            now = time.monotonic()
            due = now if moved == AT_ONCE else math.inf if due_in < 0 else now + due_in / 1000

    async def _until(self, due: float, stopping: asyncio.Event) -> None:
        """Wait until a record is due, or the set should be checked."""
        pauses = [] if due == math.inf else [asyncio.sleep(max(0.0, due - time.monotonic()))]
        await first(stopping.wait(), self._added.wait(), *pauses)
