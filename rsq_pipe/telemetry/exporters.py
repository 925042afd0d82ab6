"""Exporters: OTLP over HTTP or gRPC; the standard `OTEL_EXPORTER_OTLP_*` variables say where and how."""

from __future__ import annotations

import logging
from importlib import import_module

from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

from rsq_pipe.errors import RsqPipeError
from rsq_pipe.extras import install
from rsq_pipe.redaction import redact
from rsq_pipe.telemetry.destinations import GRPC

_PACKAGE = "opentelemetry.exporter.otlp.proto"


def span_exporter(protocol: str) -> SpanExporter:
    """Create the exporter of spans; RsqPipeError if its package is not installed."""
    exporter = _load(protocol, "trace_exporter", "OTLPSpanExporter")
    assert isinstance(exporter, SpanExporter)
    return exporter


def address_of(exporter: SpanExporter) -> str:
    """Return what an exporter sends to, for messages: the SDK's does not say it in its own."""
    address = getattr(exporter, "_endpoint", "")
    return redact(address) if isinstance(address, str) and address else "their destination"


def metric_exporter(protocol: str) -> MetricExporter:
    """Create the exporter of metrics; RsqPipeError if its package is not installed."""
    exporter = _load(protocol, "metric_exporter", "OTLPMetricExporter")
    assert isinstance(exporter, MetricExporter)
    return exporter


def _load(protocol: str, module: str, name: str) -> object:
    # It logs every attempt at every request; one line for a final failure is enough.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.ERROR)
    package = "grpc" if protocol == GRPC else "http"
    try:
        return getattr(import_module(f"{_PACKAGE}.{package}.{module}"), name)()
    except ImportError as exc:
        raise RsqPipeError(
            f"OTLP by {protocol} needs a package that is not installed: {install('grpc')}"
            if protocol == GRPC
            else f"OTLP by {protocol} needs opentelemetry-exporter-otlp-proto-http: install rsq-pipe again"
        ) from exc
