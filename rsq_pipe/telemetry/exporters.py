"""Exporters: OTLP over HTTP or gRPC; the standard `OTEL_EXPORTER_OTLP_*` variables say where and how."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from importlib import import_module

from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

from rsq_pipe.errors import RsqPipeError
from rsq_pipe.extras import install
from rsq_pipe.redaction import redact
from rsq_pipe.telemetry.destinations import GRPC

CALM = 600.0
"""Seconds between two log lines of the SDK about the same failure: a collector may be away for days."""

_EXPORTERS = "opentelemetry.exporter.otlp"
_PACKAGE = f"{_EXPORTERS}.proto"


class Calm(logging.Filter):
    """
    Let a log line through if none like it, for the same signal, has been in the last `CALM` seconds.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._logged: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether it is logged."""
        signal = str(record.args[0]) if isinstance(record.args, tuple) and record.args else ""
        key, now = (record.msg, signal), self._clock()
        if now - self._logged.get(key, -math.inf) < CALM:
            return False
        self._logged[key] = now
        return True


_CALM = Calm()


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
    # It logs each attempt at each request. A line for the final failure is enough, and not for each request.
    logging.getLogger(_EXPORTERS).setLevel(logging.ERROR)
    package = "grpc" if protocol == GRPC else "http"
    try:
        exporter: object = getattr(import_module(f"{_PACKAGE}.{package}.{module}"), name)()
    except ImportError as exc:
        raise RsqPipeError(
            f"OTLP by {protocol} needs a package that is not installed: {install('grpc')}"
            if protocol == GRPC
            else f"OTLP by {protocol} needs opentelemetry-exporter-otlp-proto-http: install rsq-pipe again"
        ) from exc
    for logger in [name for name in logging.root.manager.loggerDict if name.startswith(_EXPORTERS)]:
        logging.getLogger(logger).addFilter(_CALM)
    return exporter
