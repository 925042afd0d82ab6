"""A fused stage's gauges name the stage in whose worker it runs; no other series has the attribute."""

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
    metrics.look(held)

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
