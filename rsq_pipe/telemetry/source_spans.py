"""SourceSpans: the first spans of the records that a source brings."""

from __future__ import annotations

import time

from opentelemetry.trace import SpanKind, Tracer

from rsq_pipe.streams.headers import RID, WHY
from rsq_pipe.streams.settlement import Output, Settled
from rsq_pipe.telemetry.observer import SourceObserver, headers_of
from rsq_pipe.telemetry.record_span import MAX_TEXT, RecordSpan, Value, start
from rsq_pipe.telemetry.sampler import Sampler
from rsq_pipe.telemetry.trace_context import read, with_context


class SourceSpans(SourceObserver):
    """
    Trace one source.

    A sampled record's first span is a PRODUCER span `send <stage>` of operation type `send`, whose context is
    the record's creation context; see StageSpans for where these words come from.

    Args:
        tracer: The SDK's.
        sampler: Decides, once for each record: here.
        pipeline, stage: Names.
        target: The key of the stream written to.
    """

    def __init__(self, tracer: Tracer, sampler: Sampler, *, pipeline: str, stage: str, target: str) -> None:
        self._tracer = tracer
        self._sampler = sampler
        self._name = f"send {stage}"
        self._facts: dict[str, Value] = {
            "messaging.system": "redis",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": target,
            "rsq.pipeline": pipeline,
            "rsq.stage": stage,
        }
        self._open: list[tuple[RecordSpan, str]] = []

    def enter(self, outputs: list[Output], dead: list[Output]) -> tuple[list[Output], list[Output]]:
        """Start the spans of the records that are sampled, and of all that cannot be read."""
        self._open.clear()
        now = time.time_ns()
        chosen = self._sampler.choose(len(outputs))
        if chosen:
            outputs = list(outputs)
            for place in chosen:
                outputs[place] = self._start(outputs[place], now, "emitted")
        if dead and self._sampler.starts_traces:
            dead = [self._start(letter, now, "dead-lettered") for letter in dead]
        return outputs, dead

    def settled(self, settled: Settled | None) -> None:
        """End them: the records are in the pipeline, or another process brought them."""
        now = time.time_ns()
        counts = settled is not None and settled.refused is None
        for span, outcome in self._open:
            span.end(outcome if counts else "unsettled", settled=counts, at=now)
        self._open.clear()

    def _start(self, output: Output, now: int, outcome: str) -> Output:
        headers = headers_of(output.fields)
        attributes = {**self._facts, "rsq.rid": headers.get(RID, "")[:MAX_TEXT]}
        span = start(
            self._tracer,
            self._name,
            SpanKind.PRODUCER,
            read(headers),
            attributes=attributes,
            at=now,
        )
        span.context = span.context.entering(now // 1_000_000)
        if f"{WHY}reason" in headers:
            span.span.set_attribute("rsq.dead_letter.reason", headers[f"{WHY}reason"])
            span.fail(headers.get(f"{WHY}error", ""))
        self._open.append((span, outcome))
        return Output(output.stream, with_context(output.fields, span.context))
