"""Trace file: a record's path from a file written by `run --trace-file`, or by a collector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from rsq_pipe.errors import RsqPipeError
from rsq_pipe.ids import is_family
from rsq_pipe.ops.trace.step import RecordTrace, Step

_ERROR = 2
_NANO = 1e9


def read_trace(path: Path, name: str) -> RecordTrace:
    """
    Find a record's path in a trace file.

    Args:
        path: OTLP JSON, one line per export. A truncated last line is ignored: the file may still be written.
        name: A record id, an entry id or a trace id.

    Raises:
        RsqPipeError: The file cannot be read, or is something else.
    """
    rids = {name}
    # An entry or trace id only names a record; the whole path of that record is wanted, including replays.
    for span in _spans(path):
        facts = _facts(span)
        if name in (facts.get("messaging.message.id"), span.get("traceId")) and "rsq.rid" in facts:
            rids.add(facts["rsq.rid"])
    return RecordTrace.of(name, _steps(path, rids))


def first_record(path: Path) -> str:
    """Name a record in a trace file; empty if there is none. Raises like `read_trace`."""
    return next((rid for span in _spans(path) if (rid := _facts(span).get("rsq.rid", ""))), "")


def _steps(path: Path, rids: set[str]) -> Iterator[Step]:
    for span in _spans(path):
        facts = _facts(span)
        rid = facts.get("rsq.rid", "")
        if rid and any(is_family(rid, wanted) for wanted in rids):
            yield _step(span, facts, rid)


def _step(span: Mapping[str, Any], facts: Mapping[str, Any], rid: str) -> Step:
    waited = facts.get("rsq.wait_ms")
    status = span.get("status", {})
    error = status.get("message", "") if status.get("code") == _ERROR else ""
    kind = facts.get("error.type", "")
    return Step(
        stage=facts.get("rsq.stage", span.get("name", "")),
        rid=rid,
        outcome=facts.get("rsq.outcome", ""),
        began=int(span["startTimeUnixNano"]) / _NANO,
        ended=int(span["endTimeUnixNano"]) / _NANO,
        waited=None if waited is None else waited / 1000,
        attempt=facts.get("rsq.attempt", 1),
        error=f"{kind}: {error}" if kind and error else error,
        trace_id=span.get("traceId", ""),
        note=facts.get("rsq.drop.reason", "")
        if facts.get("rsq.settled", True)
        else "another worker's outcome counts",
    )


def _spans(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield from _of_line(path, number, line)
    except OSError as exc:
        raise RsqPipeError(f"the trace file {str(path)!r} cannot be read: {exc.strerror}") from exc


def _of_line(path: Path, number: int, line: bytes) -> list[Mapping[str, Any]]:
    try:
        document = msgspec.json.decode(line)
        # A collector's file may hold metrics and logs as well.
        groups = [] if document.keys() & {"resourceMetrics", "resourceLogs"} else document["resourceSpans"]
        return [span for group in groups for scope in group["scopeSpans"] for span in scope["spans"]]
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError) as exc:
        raise RsqPipeError(f"{path}:{number}: this is not OTLP JSON; name a file of `--trace-file`") from exc


def _facts(span: Mapping[str, Any]) -> dict[str, Any]:
    return {pair["key"]: _value(pair["value"]) for pair in span.get("attributes", ())}


def _value(value: Mapping[str, Any]) -> Any:
    kind, found = next(iter(value.items()), ("", None))
    return int(found) if kind == "intValue" and found is not None else found
