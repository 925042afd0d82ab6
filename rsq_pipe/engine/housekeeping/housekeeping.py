"""Housekeeping: what one process does for the whole pipeline, under a lease."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Mapping

import msgspec

from rsq_pipe.engine.housekeeping.history import History
from rsq_pipe.engine.housekeeping.retention import AT_REST, Retention
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.state import PipelineState
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.lease import Lease
from rsq_pipe.streams.worker import is_gone, worker_name

PERIOD = 1.0
"""Seconds between two turns."""

SECONDS = 2.0
"""How long the lease outlives the last turn of its holder."""


_HEARD = 0.75
"""Part of the lease for which one that was heard of is taken to keep house: more than a turn."""


class Housekeeping:
    """
    Trim, look after retries that nobody else looks after, keep the history, and tell the others of a rest.

    One of the pipeline's processes does it at a time. Nothing of it harms where two do, one of which was
    paused and does not know yet that it has lost the lease: each step reads what holds when it is done.

    Args:
        client, graph: The pipeline.
        retried: Stage -> set to have its promoter look for what is due.
        history: What the stages did.
        seconds: How long the lease outlives the last turn of its holder.
    """

    def __init__(
        self,
        client: StreamClient,
        graph: Graph,
        retried: Mapping[str, asyncio.Event],
        history: History,
        *,
        seconds: float = SECONDS,
    ) -> None:
        keys = Keyspace(graph.pipeline)
        self._channel = client.channel
        self._lease = Lease(client, keys.housekeeping, seconds)
        self._rest = keys.rest
        self.seconds = seconds
        """How old what another says may be."""
        self._name = worker_name("house")
        self._heard = -math.inf  # when the one that keeps house was last known to be there
        self._stages = [stage.name for stage in graph.stages if stage.verb != "source"]
        self._retried = retried
        self._history = history
        self._retention = Retention(client, graph)
        self._trimmed: tuple[float, Mapping[str, int]] = (0.0, {})

    @property
    def leads(self) -> bool:
        """Whether this process is the one, as far as its clock tells; asks no server."""
        return self._lease.is_held

    async def turn(self, state: PipelineState) -> None:
        """
        Do what is due, if no other process is there to do it.

        Raises:
            StreamError: From the server. The next turn goes on.

        Cancellation: between two steps; nothing is half done.
        """
        if time.monotonic() < self._heard + _HEARD * self.seconds or not await self._lease.take():
            return
        self._wake(state)
        await self._trim(state)
        await self._history.keep_point(state)

    async def end(self) -> None:
        """Let the next process have it at once."""
        if self.leads:
            await self._channel.execute("DEL", self._rest, key=self._rest)
        await self._lease.drop()

    def _wake(self, state: PipelineState) -> None:
        # Who put a record off promotes it, to the moment. This is for those whose process has died.
        for name in self._stages:
            if state.stages[name].retry:
                self._retried[name].set()

    async def _trim(self, state: PipelineState) -> None:
        """Trim what is done with; of a pipeline at rest only now and then, for `keep` to run out."""
        now, (at, counters) = time.monotonic(), self._trimmed
        if state.counters != counters or now >= at + AT_REST:
            await self._retention.trim()
            self._trimmed = (now, state.counters)

    # A rest: looking at all streams costs several commands a stage, and one process's look does for all.

    async def rests(self, state: PipelineState) -> None:
        """
        Tell the others what this process has just seen, if it is the one that looks for all.

        Redis: SET with an expiry: of one that has died, or pauses, nobody believes it for long.
        """
        if self.leads:
            ttl, told = round(self._lease.seconds * 1000), f"{_digest(state)} {self._name}"
            await self._channel.execute("SET", self._rest, told, "PX", ttl, key=self._rest)

    async def is_as(self, state: PipelineState) -> bool:
        """
        Tell whether another process has just seen what this one saw; False where that is not known.

        As long as that process is heard of, this one need not ask for its lease; when it falls silent, this
        one keeps house at once if it can.

        Redis: GET; then as of `turn`.
        """
        if self.leads:
            return False
        asked = time.monotonic()
        found: bytes | None = await self._channel.execute("GET", self._rest, key=self._rest)
        seen, _, name = (found or b"").decode().partition(" ")
        if name and not is_gone(name):
            self._heard = asked
            return seen == _digest(state)
        if self._heard > -math.inf:
            self._heard = -math.inf
            await self.turn(state)
        return False


def _digest(state: PipelineState) -> str:
    """Name a state: counters only grow, so that two that have one name are the same."""
    written = msgspec.msgpack.encode(state, order="deterministic")
    return hashlib.blake2b(written, digest_size=16).hexdigest()
