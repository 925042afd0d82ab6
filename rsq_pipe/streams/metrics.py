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
    """Count events in one bucket a second, at most WINDOW buckets, however long nobody asks."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque(maxlen=WINDOW)
        self._since = time.monotonic()

    def add(self, amount: int) -> None:
        """Count `amount` events now."""
        second = int(time.monotonic())
        if self._buckets and self._buckets[-1][0] == second:
            amount += self._buckets.pop()[1]
        self._buckets.append((second, amount))

    @property
    def per_second(self) -> float:
        """The mean rate of the last WINDOW seconds, or of the time since the start if that is shorter."""
        now = time.monotonic()
        total = sum(amount for second, amount in self._buckets if second > now - WINDOW)
        return total / min(WINDOW, max(1.0, now - self._since))


class _Work:
    """Time what has begun."""

    def __init__(self) -> None:
        self.since: float | None = None

    def begin(self) -> None:
        self.since = time.monotonic()

    @property
    def seconds(self) -> float:
        return 0.0 if self.since is None else time.monotonic() - self.since


class ConsumerTally:
    """Count as a consumer works."""

    def __init__(self) -> None:
        self.read = self.acked = self.dead = self.errors = self.fenced = 0
        self._in, self._out, self._work = RateWindow(), RateWindow(), _Work()

    def received(self, amount: int) -> None:
        """Count entries received."""
        self.read += amount
        if amount and self._work.since is None:
            self._work.begin()
        self._in.add(amount)

    def settled(self, acked: int, fenced: int, dead: int) -> None:
        """Count what a settlement did."""
        self.acked += acked
        self.fenced += fenced
        self.dead += dead
        self._out.add(acked)

    def metrics(self) -> ConsumerMetrics:
        """Take a snapshot."""
        uptime = self._work.seconds
        tps_in, tps_out = self._in.per_second, self._out.per_second
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
    """Count as a producer works."""

    def __init__(self) -> None:
        self._pushed, self._rate, self._work = 0, RateWindow(), _Work()

    def pushed(self, amount: int) -> None:
        """Count entries stored."""
        if self._work.since is None:
            self._work.begin()
        self._pushed += amount
        self._rate.add(amount)

    def metrics(self) -> ProducerMetrics:
        """Take a snapshot."""
        uptime = self._work.seconds
        average = self._pushed / uptime if uptime > 0 else 0.0
        return ProducerMetrics(self._pushed, self._rate.per_second, average, uptime)
