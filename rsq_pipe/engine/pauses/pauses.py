"""Pauses: a process's breakers, and the outages its sources and sinks wait for, published on the server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping

import structlog

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.pauses.breaker import Breaker
from rsq_pipe.engine.pauses.pause_log import PauseLog
from rsq_pipe.engine.state.paused import RENEWED, Paused, pause_field
from rsq_pipe.redaction import redact
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.clock import server_time
from rsq_pipe.streams.dead_letter import writable
from rsq_pipe.streams.waiting import first
from rsq_pipe.verbs.verb import Waits

PERIOD = 0.1
"""Seconds between two reports of changes to the server."""

_MAX_WHY = 300


class Pauses:
    """
    Hold the breakers, one per stage, that a process's workers share, and the outages they wait for.

    Args:
        client, graph: The pipeline.
        by: The process's name, as others read it.
    """

    def __init__(self, client: StreamClient, graph: Graph, by: str = "") -> None:
        self._client = client
        self._meta = Keyspace(graph.pipeline).meta
        self._by = by
        self._breakers: dict[str, Breaker] = {}
        self._moved = asyncio.Event()
        # (stage, part of it) -> the system that does not answer, and since when, by the breakers' clock.
        self._waits: dict[tuple[str, str], tuple[str, float]] = {}
        self._calls: list[tuple[str, Waits]] = []
        # Stage -> when its field was last written, or found and adopted, by the breakers' clock.
        self._written: dict[str, float] = {}
        # The stages that were paused when this process began; None until it has looked.
        self._found: set[str] | None = None
        self._log = PauseLog(structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline))

    def of(self, stage: Stage) -> Breaker | None:
        """Return a stage's breaker; None if it has none."""
        if stage.breaker is None:
            return None
        if stage.name not in self._breakers:
            self._breakers[stage.name] = Breaker(stage.breaker, draw=random.Random())  # noqa: S311  no secret
        return self._breakers[stage.name]

    def report(self, stage: str) -> None:
        """Log that a stage's breaker has opened or closed, and wake those who wait for it."""
        breaker = self._breakers[stage]
        if breaker.is_open:
            self._log.paused(stage, breaker)
        else:
            self._log.resumed(stage, breaker)
        self._wake()

    def watch(self, stage: str, calls: Waits) -> None:
        """Show calls of a stage, once they have lasted long, as what it waits for."""
        self._calls.append((stage, calls))

    def waits(self, stage: str, why: str, part: str = "", since: float | None = None) -> None:
        """
        Note that a source's system or a sink's target does not answer, and is tried again.

        Args:
            stage: The stage.
            why: What failed.
            part: The part of the stage that waits, if it reads several.
            since: Since when, by the breakers' clock; None for now.
        """
        now = time.monotonic() if since is None else since
        self._waits[stage, part] = (why, self._waits.get((stage, part), (why, now))[1])

    def works(self, stage: str, part: str = "") -> None:
        """Note that it answers, or that another process has taken it over."""
        self._waits.pop((stage, part), None)
        if self._found and stage in self._found:
            self._found.remove(stage)
            self._written[stage] = time.monotonic()  # now it is up to this process to delete it

    async def wait(self, seconds: float, stopping: asyncio.Event) -> None:
        """Wait some seconds, or until a stage pauses or resumes, or the worker must stop."""
        await first(stopping.wait(), self._moved.wait(), asyncio.sleep(seconds))

    def update(self, paused: Mapping[str, Paused], asked: float) -> None:
        """
        Update from the pauses that other processes have stored.

        Args:
            paused: The paused stages, according to the server.
            asked: When the server was asked, by the breakers' clock.
        """
        if self._found is None:
            self._found = {*paused}
        for name, breaker in self._breakers.items():
            there = paused.get(name)
            if there is None:
                if breaker.is_open and self._written.get(name, asked) < asked:
                    del self._written[name]  # another process has seen it work
                    breaker.try_now()
                    self._wake()
            elif there.by != self._by and not breaker.is_open and name not in self._written:
                breaker.suspect(there.why)
                self._written[name] = asked

    async def publish(self) -> None:
        """
        Write to the server which stages are paused, and which no longer are.

        Raises:
            ServerUnavailableError: It cannot be reached.

        Redis: HSET of one field per paused stage, every few seconds; HDEL once it resumes.
        """
        waiting: dict[str, tuple[str, float]] = {}
        for (name, _), wait in self._waits.items():
            waiting[name] = min(wait, waiting.get(name, wait), key=lambda one: one[1])
        now = time.monotonic()
        for name, calls in self._calls:
            lasting = calls.lasting(now)
            if lasting is not None and name not in waiting:  # otherwise the error before it says more
                waiting[name] = lasting
        open_, kept = {}, set()
        for name, breaker in self._breakers.items():
            if breaker.is_open and breaker.pause:
                open_[name] = (breaker.why, breaker.since)
            elif breaker.is_open:
                kept.add(name)  # as another process wrote it
        for name, (why, since) in {**waiting, **open_}.items():
            await self._write(name, why, since)
        for name in self._written.keys() - waiting.keys() - open_.keys() - kept:
            await self._client.channel.execute("HDEL", self._meta, pause_field(name), key=self._meta)
            self._written.pop(name, None)  # a look at the state may have deleted it meanwhile

    async def _write(self, stage: str, why: str, since: float) -> None:
        now = time.monotonic()
        if now - self._written.get(stage, -RENEWED) < RENEWED:
            return
        meta = self._meta
        at = await server_time(self._client, meta)  # other machines' clocks may differ from this one's
        paused = Paused(redact(writable(why))[:_MAX_WHY], at - (now - since), at, self._by)
        await self._client.channel.execute("HSET", meta, pause_field(stage), paused.dump(), key=meta)
        self._written[stage] = time.monotonic()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
