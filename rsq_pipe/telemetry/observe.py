"""Observe: creates the observer of a run from the user's options; imports OpenTelemetry only if needed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe import redaction
from rsq_pipe.errors import RsqPipeError
from rsq_pipe.extras import install
from rsq_pipe.spec.graph import Graph
from rsq_pipe.telemetry.destinations import Destinations, destinations
from rsq_pipe.telemetry.health import Health
from rsq_pipe.telemetry.observer import Observer

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader

log = logging.getLogger("rsq_pipe.telemetry")


@contextmanager
def observe(
    graph: Graph,
    environ: Mapping[str, str],
    *,
    trace_file: Path | None = None,
    address: tuple[str, int] | None = None,
) -> Iterator[Observer]:
    """
    Observe a run while the block lasts.

    Args:
        graph: The pipeline.
        environ: The `OTEL_*` variables.
        trace_file: The file for spans as OTLP JSON.
        address: Host and port for `/metrics`, `/livez` and `/readyz`.

    Raises:
        RsqPipeError: A package is missing, the port is taken, or the file cannot be written.
    """
    to = destinations(environ, trace_file=trace_file, scraped=address is not None)
    _hide(environ)
    if address is None:
        with _closing(_observer(graph, to, environ, None)) as observer:
            yield observer
        return
    with _answering(graph, to, environ, address) as observer:
        yield observer


@contextmanager
def _answering(
    graph: Graph, to: Destinations, environ: Mapping[str, str], address: tuple[str, int]
) -> Iterator[Observer]:
    try:
        from rsq_pipe.telemetry.prometheus import Prometheus  # noqa: PLC0415  an extra
    except ImportError as exc:
        what = f"--metrics-port needs packages that are not installed: {install('metrics')}"
        raise RsqPipeError(what) from exc
    from rsq_pipe.telemetry.endpoint import Endpoint  # noqa: PLC0415  a web server that few ask for

    prometheus, health = Prometheus(), Health()
    with _closing(_observer(graph, to, environ, health, prometheus.reader)) as observer:
        endpoint = Endpoint(*address, health, prometheus.text)
        log.info("metrics at %s/metrics", endpoint.url)
        try:
            yield observer
        finally:
            endpoint.close()


@contextmanager
def _closing(observer: Observer) -> Iterator[Observer]:
    try:
        yield observer
    finally:
        observer.close()


def _observer(
    graph: Graph, to: Destinations, environ: Mapping[str, str], health: Health | None, *readers: MetricReader
) -> Observer:
    if not to.any:
        return Observer(health)
    from rsq_pipe.telemetry.telemetry import Telemetry  # noqa: PLC0415  it costs 150 ms

    try:
        return Telemetry(graph, to, environ, health, readers if to.scraped else ())
    except OSError as exc:
        raise RsqPipeError(
            f"the trace file {str(to.trace_file)!r} cannot be written: {exc.strerror}"
        ) from exc


def _hide(environ: Mapping[str, str]) -> None:
    """Keep the collector's credentials out of the logs."""
    for name, value in environ.items():
        if name.startswith("OTEL_EXPORTER_OTLP") and name.endswith("_HEADERS"):
            redaction.add(pair.partition("=")[2].strip() for pair in value.split(","))
        elif name.startswith("OTEL_EXPORTER_OTLP") and name.endswith("_ENDPOINT"):
            redaction.add_url(value)
