"""What is measured of a stage worker's batches."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.delivery import Delivery
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.spec.sampling import parse_sampling
from rsq_pipe.telemetry.metrics import Metrics
from rsq_pipe.telemetry.sampler import Sampler
from rsq_pipe.telemetry.stage_spans import StageSpans
from rsq_pipe.telemetry.tally import Tally
from rsq_pipe.telemetry.telemetry import MeasuredStage


class Measured:
    """A measured stage worker, and the sizes of its batches."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        meter = MeterProvider([self._reader], shutdown_on_exit=False).get_meter("test")
        spans = StageSpans(
            TracerProvider(shutdown_on_exit=False).get_tracer("test"),
            Sampler(parse_sampling("all")),
            pipeline="p",
            stage="work",
            again_stream="{p}:work:again",
            outside=frozenset(),
            max_links=128,
            tally=Tally(),
        )
        metrics = Metrics(meter, "p", lost=lambda: 0, broken=lambda: 0)
        self.observer = MeasuredStage(spans, metrics, "work")

    def sizes(self) -> tuple[int, float]:
        """How many batches were measured, and their records together."""
        data: Any = self._reader.get_metrics_data()
        points = [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "rsq.batch.size"
            for point in metric.data.data_points
        ]
        assert all(isinstance(point, HistogramDataPoint) for point in points)
        return sum(point.count for point in points), sum(point.sum for point in points)


def batch(records: int) -> Batch:
    """Make a batch that came in one entry."""
    return Batch(
        [{} for _ in range(records)],
        [f"r:{number}" for number in range(records)],
        [0] * records,
        [Delivery("{p}:above", "1-1", 1)],
    )


def test_batches_are_measured_in_records_and_not_in_entries_also_two_at_once() -> None:
    stage = Measured()
    first, second = stage.observer.begin(batch(3)), stage.observer.begin(batch(4))

    second.end(Outcomes(done=range(4)), {}, ())
    first.end(Outcomes(done=range(3)), {}, ())

    assert stage.sizes() == (2, 7)


def test_batch_that_was_given_up_is_not_measured() -> None:
    stage = Measured()
    given_up, settled = stage.observer.begin(batch(3)), stage.observer.begin(batch(4))

    given_up.close()
    settled.end(Outcomes(done=range(4)), {}, ())
    settled.close()

    assert stage.sizes() == (1, 4)
