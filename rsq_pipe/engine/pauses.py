"""Pauses: the breakers of a process's stages, and what others are told of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import structlog

from rsq_pipe.engine.breaker import Breaker
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.paused import RENEWED, Paused, pause_field
from rsq_pipe.redaction import redact
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.dead_letter import writable
from rsq_pipe.streams.waiting import first

PERIOD = 0.1
"""Seconds between two times that the server is told what has changed."""

_MAX_WHY = 300


class Pauses:
    """
    Hold the breakers that the workers of one process share, one a stage.

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
        # Stage -> when its field was written last, by the breakers' clock, or found and taken over.
        self._written: dict[str, float] = {}
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline)

    def of(self, stage: Stage) -> Breaker | None:
        """Return a stage's breaker; None where it has none."""
        if stage.breaker is None:
            return None
        if stage.name not in self._breakers:
            self._breakers[stage.name] = Breaker(stage.breaker)
        return self._breakers[stage.name]

    def tell(self, stage: str) -> None:
        """Log that a stage's breaker has opened, or closed, and wake those who wait for it."""
        breaker = self._breakers[stage]
        log = self._log.bind(stage=stage)
        if breaker.is_open:
            pause = round(breaker.pause, 3)
            log.warning("paused: calls fail one after another", error=breaker.why, tried_again_in=pause)
        else:
            log.warning("goes on: calls work again", paused=round(time.monotonic() - breaker.since, 1))
        self._wake()

    async def wait(self, seconds: float, stopping: asyncio.Event) -> None:
        """Wait some seconds, or until a stage pauses or goes on, or the worker is to stop."""
        await first(stopping.wait(), self._moved.wait(), asyncio.sleep(seconds))

    def looked(self, paused: Mapping[str, Paused], asked: float) -> None:
        """
        Take note of what other processes have found out.

        Args:
            paused: Stages that are paused, as the server says.
            asked: When it was asked, by the breakers' clock.
        """
        for name, breaker in self._breakers.items():
            there = paused.get(name)
            if there is None:
                if breaker.is_open and self._written.get(name, asked) < asked:
                    del self._written[name]  # somebody has seen it work
                    breaker.hurry()
                    self._wake()
            elif there.by != self._by and not breaker.is_open and name not in self._written:
                breaker.suspect(there.why)
                self._written[name] = asked

    async def publish(self) -> None:
        """
        Tell the server which stages are paused, and which are not any more.

        Raises:
            ServerUnavailableError: It cannot be reached.

        Redis: HSET of a field a stage that is paused, every few seconds; HDEL once it goes on.
        """
        execute, meta = self._client.channel.execute, self._meta
        for name, breaker in self._breakers.items():
            now = time.monotonic()
            if not breaker.is_open and name in self._written:
                await execute("HDEL", meta, pause_field(name), key=meta)
                del self._written[name]
            elif breaker.is_open and breaker.pause and now - self._written.get(name, -RENEWED) >= RENEWED:
                at, why = time.time(), redact(writable(breaker.why))[:_MAX_WHY]
                paused = Paused(why, at - (now - breaker.since), at, self._by)
                await execute("HSET", meta, pause_field(name), paused.dump(), key=meta)
                self._written[name] = time.monotonic()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
