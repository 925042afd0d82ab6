"""What a consumer and a producer have counted."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

WINDOW = 60
"""Seconds a rate looks back."""


@dataclass(frozen=True, slots=True)
class ConsumerMetrics:
    """
    Count a StreamConsumer's work since it was made; rates are per second over the last minute.

    Args:
        total_read: Entries received, redeliveries included.
        total_acked: Entries the server said it acknowledged or settled for this consumer, dead ones apart.
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
    """Count events, those of late in one bucket a second: at most WINDOW, however long nobody asks."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque(maxlen=WINDOW)
        self._since = time.monotonic()
        self.total = 0
        self.first: float | None = None
        """When the first event was counted."""

    def add(self, amount: int) -> None:
        """Count `amount` events now."""
        now = time.monotonic()
        if amount and self.first is None:
            self.first = now
        self.total += amount
        second = int(now)
        if self._buckets and self._buckets[-1][0] == second:
            amount += self._buckets.pop()[1]
        self._buckets.append((second, amount))

    @property
    def per_second(self) -> float:
        """The mean rate of the last WINDOW seconds, or of the time since the start if that is shorter."""
        now = time.monotonic()
        total = sum(amount for second, amount in self._buckets if second > now - WINDOW)
        return total / min(WINDOW, max(1.0, now - self._since))

    @property
    def seconds(self) -> float:
        """How long ago the first event was counted; 0.0 before."""
        return 0.0 if self.first is None else time.monotonic() - self.first


class ConsumerTally:
    """Count as a consumer works: entries received, those that it settled, and failures."""

    def __init__(self) -> None:
        self.read, self.acked = RateWindow(), RateWindow()
        self.dead = self.errors = self.fenced = 0

    def metrics(self) -> ConsumerMetrics:
        """Take a snapshot."""
        uptime = self.read.seconds
        tps_in, tps_out = self.read.per_second, self.acked.per_second
        return ConsumerMetrics(
            total_read=self.read.total,
            total_acked=self.acked.total,
            total_dlq=self.dead,
            total_errors=self.errors,
            total_fenced=self.fenced,
            tps_in=tps_in,
            tps_out=tps_out,
            tps_total=tps_in + tps_out,
            avg_tps=self.acked.total / uptime if uptime > 0 else 0.0,
            uptime_secs=uptime,
        )


class ProducerTally:
    """Count as a producer works: entries stored."""

    def __init__(self) -> None:
        self.pushed = RateWindow()

    def metrics(self) -> ProducerMetrics:
        """Take a snapshot."""
        pushed, uptime = self.pushed.total, self.pushed.seconds
        average = pushed / uptime if uptime > 0 else 0.0
        return ProducerMetrics(pushed, self.pushed.per_second, average, uptime)
