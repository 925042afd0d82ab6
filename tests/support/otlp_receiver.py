"""OtlpReceiver: a collector of spans and metrics, in its own process."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests.support.preloaded import PreloadedProcess
from tests.support.signals import eventually


@dataclass(frozen=True)
class ReceivedSpan:
    """One span as it came over the wire; ids in hexadecimal."""

    trace: str
    id: str
    parent: str
    name: str
    kind: int
    start: int
    end: int
    status: int
    attributes: dict[str, Any] = field(hash=False)
    links: list[dict[str, Any]] = field(hash=False)
    events: list[dict[str, Any]] = field(hash=False)
    resource: dict[str, Any] = field(hash=False)

    @property
    def stage(self) -> str:
        return str(self.attributes["rsq.stage"])

    @property
    def rid(self) -> str:
        return str(self.attributes.get("rsq.rid", ""))

    @property
    def is_batch(self) -> bool:
        return "messaging.batch.message_count" in self.attributes


class OtlpReceiver:
    """
    Receive OTLP/HTTP protobuf on a free port of 127.0.0.1.

    Args:
        folder: Where what was received is kept, as JSON lines.
        hang: Accept requests and never answer them.
    """

    def __init__(self, folder: Path, *, hang: bool = False) -> None:
        self._file = folder / "received.jsonl"
        self._file.touch()
        self._hang = hang
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        arguments = [str(self._file), str(self.port), "hang" if self._hang else "answer"]
        self._process = PreloadedProcess([sys.executable, "-m", "tests.support.otlp_receiver", *arguments])
        eventually(self._listens, what="the receiver listens")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def spans(self) -> list[ReceivedSpan]:
        return [ReceivedSpan(**line["span"]) for line in self._lines() if "span" in line]

    @property
    def span_count(self) -> int:
        """How many spans there are, cheaper than reading them all."""
        return self._file.read_text().count('{"span": ')

    @property
    def metrics(self) -> dict[str, list[dict[str, Any]]]:
        """The points of each metric, as last received."""
        return {line["metric"]: line["points"] for line in self._lines() if "metric" in line}

    @property
    def requests(self) -> int:
        return sum("request" in line for line in self._lines())

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._file.read_text().splitlines()]

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the receiver ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _serve(file: Path, port: int, *, hang: bool) -> None:
    lock = threading.Lock()
    for_ever = threading.Event()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            lines = [{"request": self.path}, *_parsed(self.path, body)]
            with lock, file.open("a") as out:
                out.write("".join(json.dumps(line) + "\n" for line in lines))
            if hang:
                for_ever.wait()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Collector).serve_forever()


def _parsed(path: str, body: bytes) -> list[dict[str, Any]]:
    if path.endswith("/v1/metrics"):
        return _metrics(ExportMetricsServiceRequest.FromString(body))
    return _spans(ExportTraceServiceRequest.FromString(body))


def _spans(request: ExportTraceServiceRequest) -> list[dict[str, Any]]:
    return [
        {
            "span": {
                "trace": span.trace_id.hex(),
                "id": span.span_id.hex(),
                "parent": span.parent_span_id.hex(),
                "name": span.name,
                "kind": span.kind,
                "start": span.start_time_unix_nano,
                "end": span.end_time_unix_nano,
                "status": span.status.code,
                "attributes": _attributes(span.attributes),
                "links": [
                    {"trace": link.trace_id.hex(), "id": link.span_id.hex(), **_attributes(link.attributes)}
                    for link in span.links
                ],
                "events": [{"name": event.name, **_attributes(event.attributes)} for event in span.events],
                "resource": _attributes(group.resource.attributes),
            }
        }
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _metrics(request: ExportMetricsServiceRequest) -> list[dict[str, Any]]:
    found = []
    for group in request.resource_metrics:
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                assert kind is not None
                points = [
                    {
                        **_attributes(point.attributes),
                        "value": point.count if kind == "histogram" else point.as_int or point.as_double,
                    }
                    for point in getattr(metric, kind).data_points
                ]
                found.append({"metric": metric.name, "points": points})
    return found


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    value: AnyValue = pair.value
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]), hang=sys.argv[3] == "hang")
