"""Metrics: the counts of a consumer and a producer, and their rates."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass

WINDOW = 60
"""Seconds that a rate covers."""

SAMPLED = 5.0
"""Seconds between two samples of a consumer's counts; a rate may cover that much more."""


@dataclass(frozen=True, slots=True)
class ConsumerMetrics:
    """
    Count a StreamConsumer's work since it was made; rates are per second over the last minute.

    Args:
        total_read: Entries received, including redeliveries.
        total_acked: Entries acknowledged or settled for this consumer, according to the server, without dead
            ones.
        total_dlq: Entries dead-lettered: written to `dlq_stream`, or taken by the `dlq_handler`.
        total_errors: Handler calls, reads and settlements that failed.
        total_fenced: Entries whose settlement was refused: another consumer had taken them over.
        uptime_secs: Seconds since the first entry was received; 0.0 before.
    """

    total_read: int
    total_acked: int
    total_dlq: int
    total_errors: int
    total_fenced: int
    tps_in: float
    tps_out: float
    tps_total: float
    avg_tps: float
    uptime_secs: float


@dataclass(frozen=True, slots=True)
class ProducerMetrics:
    """
    Count a StreamProducer's work since it was made; rates are per second over the last minute.

    Args:
        uptime_secs: Seconds since the first push; 0.0 before.
    """

    total_pushed: int
    tps: float
    avg_tps: float
    uptime_secs: float


class RateWindow:
    """
    Measure how fast a count grew recently, from at most one sample a second over the last WINDOW seconds.

    Counting itself is only an addition, so a task has to take samples regularly.
    """

    def __init__(self) -> None:
        self._samples = deque([(time.monotonic(), 0)])

    def sample(self, total: int) -> None:
        """Store the current count."""
        now, samples = time.monotonic(), self._samples
        if now - samples[-1][0] >= 1:
            samples.append((now, total))
        while len(samples) > 1 and samples[1][0] <= now - WINDOW:
            samples.popleft()  # the last one before the window stays, as the start of the count

    def per_second(self, total: int) -> float:
        """Return the mean rate of the last WINDOW seconds, or since the start if that is shorter."""
        self.sample(total)
        at, before = self._samples[0]
        return (total - before) / max(1.0, time.monotonic() - at)


class ConsumerTally:
    """Count while a consumer works: entries received, entries settled, and failures."""

    def __init__(self) -> None:
        self.read = self.acked = self.dead = self.errors = self.fenced = 0
        self.first: float | None = None
        """When the first entry was received, by `time.monotonic`."""
        self._reads, self._acks = RateWindow(), RateWindow()

    async def sample_on(self) -> None:
        """Take samples until cancelled."""
        while True:
            await asyncio.sleep(SAMPLED)
            self.sample()

    def sample(self) -> None:
        """Store the counts, for the rates."""
        self._reads.sample(self.read)
        self._acks.sample(self.acked)

    def metrics(self) -> ConsumerMetrics:
        """Take a snapshot."""
        uptime = _seconds_since(self.first)
        tps_in, tps_out = self._reads.per_second(self.read), self._acks.per_second(self.acked)
        return ConsumerMetrics(
            total_read=self.read,
            total_acked=self.acked,
            total_dlq=self.dead,
            total_errors=self.errors,
            total_fenced=self.fenced,
            tps_in=tps_in,
            tps_out=tps_out,
            tps_total=tps_in + tps_out,
            avg_tps=self.acked / uptime if uptime > 0 else 0.0,
            uptime_secs=uptime,
        )


class ProducerTally:
    """Count while a producer works: entries stored."""

    def __init__(self) -> None:
        self.pushed = 0
        self._first: float | None = None
        self._pushes = RateWindow()

    def add(self, pushed: int) -> None:
        """Count entries that were stored just now."""
        self._pushes.sample(self.pushed)
        self.pushed += pushed
        self._first = self._first or time.monotonic()

    def metrics(self) -> ProducerMetrics:
        """Take a snapshot."""
        uptime = _seconds_since(self._first)
        average = self.pushed / uptime if uptime > 0 else 0.0
        return ProducerMetrics(self.pushed, self._pushes.per_second(self.pushed), average, uptime)


def _seconds_since(first: float | None) -> float:
    return 0.0 if first is None else time.monotonic() - first
