"""Destinations: where this process sends its telemetry, read from options and the standard variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from rsq_pipe.errors import RsqPipeError

HTTP, GRPC = "http/protobuf", "grpc"


class Destinations(Struct, frozen=True):
    """
    Define where telemetry is sent.

    Args:
        traces: The OTLP protocol for spans; empty for none.
        metrics: The OTLP protocol for metrics; empty for none.
        trace_file: The file to which spans are written as OTLP JSON.
        scraped: Whether metrics are kept for a scraper.
    """

    traces: str = ""
    metrics: str = ""
    trace_file: Path | None = None
    scraped: bool = False

    @property
    def any(self) -> bool:
        """Whether there are any; if not, OpenTelemetry is not imported."""
        return bool(self.traces or self.metrics or self.trace_file or self.scraped)


def destinations(
    environ: Mapping[str, str], *, trace_file: Path | None = None, scraped: bool = False
) -> Destinations:
    """
    Read where telemetry is to be sent.

    Spans and metrics are sent if `OTEL_EXPORTER_OTLP_ENDPOINT`, or the variable for one signal, names a
    collector; `OTEL_TRACES_EXPORTER=none` and `OTEL_METRICS_EXPORTER=none` turn one off, and
    `OTEL_SDK_DISABLED=true` turns all off, including the file.

    Raises:
        RsqPipeError: A protocol or exporter does not exist.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Destinations()
    return Destinations(_protocol(environ, "TRACES"), _protocol(environ, "METRICS"), trace_file, scraped)


def _protocol(environ: Mapping[str, str], signal: str) -> str:
    exporter = environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower() or "otlp"
    if exporter == "none":
        return ""
    if exporter != "otlp":
        raise RsqPipeError(f"OTEL_{signal}_EXPORTER={exporter!r} is not supported; write otlp or none")
    names = (f"OTEL_EXPORTER_OTLP_{signal}", "OTEL_EXPORTER_OTLP")
    if not any(environ.get(f"{name}_ENDPOINT", "").strip() for name in names):
        return ""
    protocol = next((found for name in names if (found := environ.get(f"{name}_PROTOCOL", "").strip())), HTTP)
    if protocol not in {HTTP, GRPC}:
        raise RsqPipeError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol!r} is not supported; write {HTTP} or {GRPC}"
        )
    return protocol
