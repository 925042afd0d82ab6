"""Prometheus: the metrics in its text format; needs the extra `metrics`."""

from __future__ import annotations

import threading

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import MetricReader
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder


class Prometheus:
    """Collect the metrics on request; no global state."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._lock = threading.Lock()
        self.reader: MetricReader = PrometheusMetricReader(scope_info_enabled=False, registry=self._registry)

    def text(self, accept: str) -> tuple[str, bytes]:
        """
        Format the metrics as a client prefers.

        Returns:
            The content type and the body.
        """
        encode, kind = choose_encoder(accept)
        with self._lock:
            return kind, encode(self._registry)
