"""History: what every stage did and held in each minute of the last day, stored by the runs themselves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from functools import partial

from rsq_pipe.engine.call_times import CallTimes
from rsq_pipe.engine.housekeeping.slow_hint import SlowHint
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.errors import SettleError, StreamError, StreamFullError
from rsq_pipe.model.counters import finished
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.clock import server_time
from rsq_pipe.streams.link import Command, checked

PERIOD = 5.0
"""Seconds between two additions of call times."""

STEP = 60
"""Seconds between two points."""

KEPT = 1_440
"""How many points are kept: a day of them."""


class History:
    """
    Store one point a minute, and how long calls take.

    Args:
        client, graph: The pipeline.
        times: How long this process's calls took.
    """

    def __init__(self, client: StreamClient, graph: Graph, times: CallTimes) -> None:
        self._client = client
        self._graph = graph
        self._key = Keyspace(graph.pipeline).history
        self._times = times
        self._slow_hint = SlowHint(graph, times)
        self._next = 0.0

    async def keep_times(self) -> None:
        """
        Add this process's call times to those of the others, all in one hash.

        Raises:
            ServerUnavailableError: It cannot be reached.

        Redis: HINCRBY.
        """
        counts, key = self._times.take(), Keyspace(self._graph.pipeline).calls
        self._slow_hint.look(counts)
        commands: list[Command] = [
            ["HINCRBY", key, f"{stage}:{number}", count] for (stage, number), count in counts.items()
        ]
        try:
            for reply in await self._client.channel.exchange(commands, key=key) if commands else ():
                checked(reply, self._client.channel.address)
        except (SettleError, StreamFullError):  # not needed on a full server
            pass
        except StreamError:
            self._times.give_back(counts)
            raise

    async def keep_point(self, state: PipelineState) -> None:
        """
        Store the point of a minute, once the minute has begun.

        Raises:
            ServerUnavailableError: It cannot be reached.

        Redis: TIME and XADD MAXLEN.
        """
        if time.monotonic() >= self._next:
            now = await server_time(self._client, self._key)
            await self._add(f"{int(now // STEP) * STEP * 1000}-0", state)
            self._next = time.monotonic() + STEP - now % STEP

    async def end(self, state: PipelineState) -> None:
        """Store what was done up to the end of a run, which may have been short."""
        await self.keep_times()
        await self._add("*", state)

    async def _add(self, entry_id: str, state: PipelineState) -> None:
        # The point of a minute has a fixed id, so only one of several processes adds it. Nothing depends on
        # it: a full server does without.
        with contextlib.suppress(SettleError, StreamFullError):
            fields = _fields(self._graph, state)
            await self._client.channel.execute(
                "XADD", self._key, "MAXLEN", KEPT, entry_id, *fields, key=self._key
            )


def _fields(graph: Graph, state: PipelineState) -> list[str]:
    """Build a point: each stage's records done since the first run, and its backlog."""
    found: list[str] = []
    for stage in graph.stages:
        counted = partial(_counted, state.counters, stage.name)
        done = finished(counted, is_source=stage.verb == "source")
        found += (stage.name, f"{done} {state.stages[stage.name].backlog}")
    return found


def _counted(counters: Mapping[str, int], stage: str, what: str) -> int:
    return counters.get(f"{stage}:{what}", 0)
