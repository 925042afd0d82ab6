"""Metrics: the measurements of a process and its data of the pipeline, as OpenTelemetry instruments."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from rsq_pipe.model.counters import COUNTED
from rsq_pipe.telemetry.observer import StageGauges

DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

COLLECTED = 256
"""Batches that are collected before they are passed to the SDK: one by one each costs 78 us, in a row 10."""


class Metrics:
    """
    Hold the instruments.

    `messaging.process.duration` is from the conventions for messaging metrics, version 1.45
    (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-metrics/); metrics without a name there
    are under `rsq.`. Record counts and what stages hold come from Redis, through the runner's look: exact
    across crashes and restarts, at no cost to the hot path, and the same from every process of a pipeline, so
    take the maximum over processes and not the sum. Duration, batch size and latency are this process's own.

    Args:
        meter: The SDK's meter.
        pipeline: Its name.
        lost: Returns the number of spans that did not reach a collector.
        broken: Returns the number of records with a broken `traceparent`.
    """

    def __init__(
        self, meter: Meter, pipeline: str, *, lost: Callable[[], int], broken: Callable[[], int]
    ) -> None:
        self._pipeline = pipeline
        self._stages: Mapping[str, StageGauges] = {}
        # Filled by the event loop, emptied by it or by a reader's thread.
        self._collected: deque[tuple[str, int, float]] = deque()
        self._duration = meter.create_histogram(
            "messaging.process.duration",
            "s",
            "Time from a batch's handler call to its settlement.",
            explicit_bucket_boundaries_advisory=DURATIONS,
        )
        self._size = meter.create_histogram(
            "rsq.batch.size",
            "{record}",
            "Records in one handler call.",
            explicit_bucket_boundaries_advisory=SIZES,
        )
        self._latency = meter.create_histogram(
            "rsq.end_to_end.latency",
            "s",
            "Time from a source to a sink, of the records that are traced.",
            explicit_bucket_boundaries_advisory=LATENCIES,
        )
        self._create_gauges(meter)
        self._create_counters(meter, lost, broken)

    def set_gauges(self, stages: Mapping[str, StageGauges]) -> None:
        """Replace the data of the pipeline, by stage."""
        self._stages = stages

    def batch(self, stage: str, size: int, seconds: float) -> None:
        """Measure one batch; readers see it the next time they collect."""
        self._collected.append((stage, size, seconds))
        if len(self._collected) >= COLLECTED:
            self._record_collected()

    def latency(self, seconds: float, sink: object) -> None:
        """Measure one record that has reached a sink."""
        self._latency.record(seconds, {"rsq.pipeline": self._pipeline, "rsq.stage": str(sink)})

    def _record_collected(self) -> None:
        while self._collected:
            try:
                stage, size, seconds = self._collected.popleft()
            except IndexError:  # the other thread was faster
                return
            own = {"rsq.pipeline": self._pipeline, "rsq.stage": stage}
            standard = {
                "messaging.system": "redis",
                "messaging.operation.name": "process",
                "messaging.consumer.group.name": stage,
            }
            self._duration.record(seconds, {**standard, **own})
            self._size.record(size, own)

    def _create_gauges(self, meter: Meter) -> None:
        def gauge(
            name: str, unit: str, description: str, value: Callable[[StageGauges], float | None]
        ) -> None:
            def observe(_: CallbackOptions) -> Iterable[Observation]:
                for stage, state in self._stages.items():
                    found = value(state)
                    if found is not None:
                        own = {"rsq.pipeline": self._pipeline, "rsq.stage": stage}
                        # Not on the counters: their series would start over whenever `fuse` changes.
                        fused = {"rsq.fused_with": state.fused_with} if state.fused_with else {}
                        yield Observation(found, own | fused)

            meter.create_observable_gauge(f"rsq.stage.{name}", [observe], unit, description)

        gauge("lag", "{record}", "Records not yet delivered to the stage.", lambda state: state.lag)
        gauge("pending", "{record}", "Records delivered and not settled.", lambda state: state.pending)
        gauge(
            "oldest_pending_age",
            "s",
            "How long ago the oldest record that is delivered and not settled was written.",
            lambda state: state.oldest_pending,
        )
        gauge(
            "oldest_age",
            "s",
            "How long ago the oldest record that is not settled was written, delivered or not.",
            lambda state: state.oldest,
        )
        gauge("retry_set", "{record}", "Records that wait for their next attempt.", lambda state: state.retry)
        gauge(
            "paused",
            "s",
            "How long it has been paused; 0 if it is not.",
            lambda state: state.paused,
        )
        gauge("dead_letters", "{record}", "Dead letters in the queue.", lambda state: state.dead)

    def _create_counters(self, meter: Meter, lost: Callable[[], int], broken: Callable[[], int]) -> None:
        def records(_: CallbackOptions) -> Iterable[Observation]:
            # The SDK reads its observable instruments first, and collects the histograms after that.
            self._record_collected()
            for stage, state in self._stages.items():
                for what in COUNTED:
                    attributes = {"rsq.pipeline": self._pipeline, "rsq.stage": stage, "rsq.outcome": what}
                    yield Observation(state.counters.get(what, 0), attributes)

        meter.create_observable_counter(
            "rsq.records",
            [records],
            "{record}",
            "Records in, out or written, dropped, stored in a state, retried, dead; since the first run.",
        )

        def drops(_: CallbackOptions) -> Iterable[Observation]:
            for stage, state in self._stages.items():
                for name, count in state.counters.items():
                    if name.startswith("dropped:"):
                        own = {"rsq.pipeline": self._pipeline, "rsq.stage": stage}
                        yield Observation(count, {**own, "rsq.reason": name.removeprefix("dropped:")})

        meter.create_observable_counter(
            "rsq.drops",
            [drops],
            "{record}",
            "Dropped records by reason, 20 reasons a stage and `other`; since the first run.",
        )
        for name, unit, ask, description in (
            ("rsq.spans.lost", "{span}", lost, "Spans that did not reach the collector."),
            ("rsq.traceparents.broken", "{record}", broken, "Records whose traceparent was ignored."),
        ):
            meter.create_observable_counter(name, [_asking(ask)], unit, description)


def _asking(ask: Callable[[], int]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(ask())]
