"""A fused stage's gauges name the stage in whose worker it runs, a paused one's for how long it is."""

from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from rsq_pipe.telemetry.metrics import Metrics
from rsq_pipe.telemetry.observer import StageGauges


def test_the_gauges_of_a_fused_stage_name_the_stage_above() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    metrics = Metrics(provider.get_meter("test"), "shop", lost=lambda: 0, broken=lambda: 0)
    held = {"read": StageGauges(0, 0, 0, 0, {}), "price": StageGauges(0, 0, 0, 0, {}, fused_with="read")}
    metrics.set_gauges(held)

    found = reader.get_metrics_data()

    assert found is not None
    above: dict[str, set[tuple[object, object]]] = {}
    for metric in found.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            attributes = point.attributes or {}
            pair = (attributes.get("rsq.stage"), attributes.get("rsq.fused_with"))
            above.setdefault(metric.name, set()).add(pair)
    assert above["rsq.stage.lag"] == {("read", None), ("price", "read")}
    assert above["rsq.records"] == {("read", None), ("price", None)}
    provider.shutdown()


def test_a_gauge_says_for_how_long_a_stage_is_paused() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    metrics = Metrics(provider.get_meter("test"), "shop", lost=lambda: 0, broken=lambda: 0)
    metrics.set_gauges(
        {"read": StageGauges(0, 0, 0, 0, {}), "price": StageGauges(0, 0, 0, 0, {}, paused=12.5)}
    )

    found = reader.get_metrics_data()

    assert found is not None
    (gauge,) = (
        metric
        for metric in found.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "rsq.stage.paused"
    )
    points = [(point.attributes or {}, point) for point in gauge.data.data_points]
    seconds = {of["rsq.stage"]: getattr(point, "value", None) for of, point in points}
    assert seconds == {"read": 0.0, "price": 12.5}
    provider.shutdown()
