"""StatusCache: the status of pipelines, read from the server at most once a second for all readers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping

from msgspec import Struct, field

from rsq_pipe.engine.state.legible import legible
from rsq_pipe.ops.as_run import AsRun, as_run
from rsq_pipe.ops.history import call_counts, percentiles
from rsq_pipe.ops.status import PipelineStatus, read_status
from rsq_pipe.streams.client import StreamClient

FRESH = 0.9
"""Seconds for which a status is reused."""

KEPT = 1_000
"""Maximum number of pipelines whose status is cached; beyond that, the least recently used is removed."""

CALLS_OVER = 60.0
"""Seconds before now whose calls are included in call times."""

RATE_OVER = 5.0
"""Seconds over which a rate is measured, if there is a status that old."""


class LiveStatus(Struct, frozen=True):
    """
    Hold the status of a pipeline at one moment.

    Args:
        run: The pipeline as last run.
        status: Its status; with rates, if there was one before.
        calls: Stage -> median and 95th percentile of its call times in seconds: of the last minute, if there
            is a status that old; otherwise of all.
    """

    run: AsRun
    status: PipelineStatus
    calls: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class _Seen(Struct):
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    at: float = 0.0
    last: LiveStatus | None = None
    before: deque[PipelineStatus] = field(default_factory=deque)
    calls: deque[tuple[float, Counter[str]]] = field(default_factory=deque)


class StatusCache:
    """
    Read the status of pipelines, and cache the last ones for their rates.

    Args:
        client: The server.
    """

    def __init__(self, client: StreamClient) -> None:
        self._client = client
        self._seen: dict[str, _Seen] = {}

    async def of(self, pipeline: str) -> LiveStatus:
        """
        Return the status of a pipeline, at most a second old.

        Raises:
            NeverRanError: It never ran on the server.
            ServerUnavailableError: The server cannot be reached.
            StreamError: The server's data of it cannot be read.
        """
        seen = self._seen.pop(pipeline, None) or _Seen()
        self._seen[pipeline] = seen  # keeps the most recently used at the end
        while len(self._seen) > KEPT:
            del self._seen[next(iter(self._seen))]
        async with seen.lock:
            if seen.last is None or time.monotonic() - seen.at >= FRESH:
                with legible(pipeline, self._client.channel.address):
                    run = await as_run(self._client, pipeline, seen.last.run if seen.last else None)
                    status = await read_status(self._client, run.graph, as_run=True)
                    calls = _latest(await call_counts(self._client, pipeline), status.at, seen.calls)
                seen.last = LiveStatus(run, _with_rates(status, seen.before), calls)
                seen.at = time.monotonic()
        return seen.last


def _latest(
    counts: Counter[str], at: float, before: deque[tuple[float, Counter[str]]]
) -> dict[str, tuple[float, float]]:
    """Return how long recent calls took; stages without calls are left out."""
    while len(before) > 1 and at - before[1][0] >= CALLS_OVER:
        before.popleft()
    if before and any(counts[name] < count for name, count in before[0][1].items()):
        before.clear()  # the pipeline was started over with --fresh
    lately = counts - before[0][1] if before and at - before[0][0] >= CALLS_OVER else counts
    before.append((at, counts))
    return percentiles(lately)


def _with_rates(status: PipelineStatus, before: deque[PipelineStatus]) -> PipelineStatus:
    while len(before) > 1 and status.at - before[1].at >= RATE_OVER:
        before.popleft()
    if before and (status.at - before[0].at > 60 or status.at <= before[0].at):
        before.clear()  # it was not read for a while: the rate would be out of date
    rated = status.since(before[0]) if before else status
    before.append(status)
    return rated
