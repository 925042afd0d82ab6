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
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.lease import Lease
from rsq_pipe.streams.worker import is_gone, worker_name

PERIOD = 1.0
"""Seconds between two turns."""

SECONDS = 2.0
"""Seconds that the lease lasts after the last turn of its holder."""


_HEARD = 0.75
"""Part of the lease for which a leader counts as alive after its last sign of life: longer than a turn."""


class Housekeeping:
    """
    Trim, promote retries that no process promotes, store the history, and report when all is idle.

    One of the pipeline's processes does it at a time. It does no harm if two do, because one was paused and
    does not know yet that it lost the lease: each step checks the facts at the moment it acts.

    Args:
        client, graph: The pipeline.
        retried: Stage -> event to set so that its promoter looks for due records.
        history: What the stages did.
        seconds: How long the lease lasts after the last turn of its holder.
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
        """How old another process's word may be."""
        self._name = worker_name("house")
        self._heard = -math.inf  # when the leader was last known to be alive
        self._stages = [stage.name for stage in graph.stages if stage.verb != "source"]
        self._retried = retried
        self._history = history
        self._retention = Retention(client, graph)
        self._trimmed: tuple[float, Mapping[str, int]] = (0.0, {})

    @property
    def leads(self) -> bool:
        """Whether this process leads, according to its clock; asks no server."""
        return self._lease.is_held

    async def turn(self, state: PipelineState) -> None:
        """
        Do what is due, unless another process does it.

        Raises:
            StreamError: From the server. The next turn continues.

        Cancellation: between two steps; no step is left half done.
        """
        if time.monotonic() < self._heard + _HEARD * self.seconds or not await self._lease.take():
            return
        self._wake(state)
        await self._trim(state)
        await self._history.keep_point(state)

    async def end(self) -> None:
        """Let the next process take over at once."""
        if self.leads:
            await self._channel.execute("DEL", self._rest, key=self._rest)
        await self._lease.drop()

    def _wake(self, state: PipelineState) -> None:
        # The process that delayed a record promotes it on time. This is for records whose process has died.
        for name in self._stages:
            if state.stages[name].retry:
                self._retried[name].set()

    async def _trim(self, state: PipelineState) -> None:
        """Trim acknowledged entries; for an idle pipeline only now and then, so that `keep` can run out."""
        now, (at, counters) = time.monotonic(), self._trimmed
        if state.counters != counters or now >= at + AT_REST:
            await self._retention.trim()
            self._trimmed = (now, state.counters)

    # When idle: a look at all streams costs several commands a stage, and one process's look serves all.

    async def rests(self, state: PipelineState) -> None:
        """
        Report to the others what this process has just seen, if it is the one that looks for all.

        Redis: SET with an expiry, so that a process that has died or is paused is not believed for long.
        """
        if self.leads:
            ttl, mark = round(self._lease.seconds * 1000), f"{_digest(state)} {self._name}"
            await self._channel.execute("SET", self._rest, mark, "PX", ttl, key=self._rest)

    async def is_as(self, state: PipelineState) -> bool:
        """
        Return whether another process has just seen what this one saw; False if unknown.

        As long as that process gives signs of life, this one need not ask for its lease; when they stop,
        this one takes over at once if it can.

        Redis: GET; then as for `turn`.
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
    """Return a digest of a state: counters only grow, so two states with the same digest are equal."""
    written = msgspec.msgpack.encode(state, order="deterministic")
    return hashlib.blake2b(written, digest_size=16).hexdigest()
