"""TraceFile: spans as OTLP JSON, one line per export, in a file that several processes may share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, Status

_MODE = 0o644


class TraceFile(SpanExporter):
    """
    Append spans to a file.

    The lines are `TracesData` of https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/, with ids
    in hexadecimal as the OTLP/JSON mapping requires, so a collector's file receiver can read them too.

    Args:
        path: Appended to; created, with its folder, if it is missing.

    Raises:
        OSError: It cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A pipe without a reader is an error instead of a wait; writes then wait as usual.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._file = os.open(path, flags, _MODE)
        os.set_blocking(self._file, True)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write one line; FAILURE if it does not fit on the disk completely."""
        if not spans:
            return SpanExportResult.SUCCESS
        line = msgspec.json.encode(traces_data(spans)) + b"\n"
        # In one write: with O_APPEND, lines of several processes stay whole, one after another.
        written = os.write(self._file, line)
        return SpanExportResult.SUCCESS if written == len(line) else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Close the file."""
        os.close(self._file)


def traces_data(spans: Sequence[ReadableSpan]) -> dict[str, Any]:
    """Convert spans of one resource and scope to OTLP/JSON."""
    scope = spans[0].instrumentation_scope
    name = {"name": scope.name, "version": scope.version or ""} if scope else {"name": ""}
    scoped = {"scope": name, "spans": [_span(span) for span in spans]}
    resource = {"attributes": _attributes(spans[0].resource.attributes)}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scoped]}]}


def _span(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    assert context is not None
    parent = {"parentSpanId": f"{span.parent.span_id:016x}"} if span.parent else {}
    return {
        **_ids(context),
        **parent,
        "name": span.name,
        "kind": span.kind.value + 1,  # in OTLP 0 means "unspecified"
        "startTimeUnixNano": str(span.start_time or 0),
        "endTimeUnixNano": str(span.end_time or 0),
        "attributes": _attributes(span.attributes),
        "events": [_event(event) for event in span.events],
        "links": [_link(link) for link in span.links],
        "status": _status(span.status),
    }


def _ids(context: SpanContext) -> dict[str, str]:
    state = context.trace_state.to_header()
    ids = {"traceId": f"{context.trace_id:032x}", "spanId": f"{context.span_id:016x}"}
    return {**ids, "traceState": state} if state else ids


def _event(event: Event) -> dict[str, Any]:
    return {
        "timeUnixNano": str(event.timestamp),
        "name": event.name,
        "attributes": _attributes(event.attributes),
    }


def _link(link: Link) -> dict[str, Any]:
    return {**_ids(link.context), "attributes": _attributes(link.attributes)}


def _status(status: Status) -> dict[str, Any]:
    code = {"code": status.status_code.value}
    return {**code, "message": status.description} if status.description else code


def _attributes(attributes: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in (attributes or {}).items()]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list() | tuple():
            return {"arrayValue": {"values": [_value(item) for item in value]}}
        case _:
            return {"stringValue": str(value)}
