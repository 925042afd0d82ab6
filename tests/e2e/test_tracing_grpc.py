"""Spans and metrics go to a collector that takes gRPC, from one process and from several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.e2e.example import Example
from tests.e2e.traced_project import run

SERVICES = "opentelemetry.proto.collector"


class Collector:
    """Count the spans and metrics that arrive, by name."""

    def __init__(self) -> None:
        self.spans: Counter[str] = Counter()
        self.metrics: Counter[str] = Counter()
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._serve("trace.v1.TraceService", self._take_spans, ExportTraceServiceRequest)
        self._serve("metrics.v1.MetricsService", self._take_metrics, ExportMetricsServiceRequest)
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(None).wait()

    def _serve(self, service: str, take: Callable[[Any, Any], Any], request: Any) -> None:
        handler = grpc.unary_unary_rpc_method_handler(
            take, request_deserializer=request.FromString, response_serializer=_serialize
        )
        handlers = grpc.method_handlers_generic_handler(f"{SERVICES}.{service}", {"Export": handler})
        self._server.add_generic_rpc_handlers((handlers,))

    def _take_spans(self, request: Any, _: Any) -> Any:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans.update(span.name for span in scope.spans)
        return ExportTraceServiceResponse()

    def _take_metrics(self, request: Any, _: Any) -> Any:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics.update(metric.name for metric in scope.metrics)
        return ExportMetricsServiceResponse()


def _serialize(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["one process", "two processes"])
def test_each_stage_has_spans_and_metrics_in_a_collector_that_takes_grpc(
    tmp_path: Path, collector: Collector, options: tuple[str, ...]
) -> None:
    example = Example(tmp_path / "example")
    environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}

    done = run(example.root, "run", "pipelines/orders.yaml", *options, environ=environ)

    assert done.returncode == 0, done.stderr
    for stage in ("validate", "enrich", "price", "route"):
        assert collector.spans[f"process {stage}"] >= 10
    assert collector.metrics["rsq.records"], collector.metrics
