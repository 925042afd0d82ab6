"""SourceSpans: the first spans of the records that a source reads."""

from __future__ import annotations

import time
from collections.abc import Mapping

from msgspec.structs import replace
from opentelemetry.trace import SpanKind, Tracer

from rsq_pipe.model.batch import Batch
from rsq_pipe.streams.headers import RID, WHY
from rsq_pipe.streams.settlement import Output
from rsq_pipe.telemetry.observer import SourceObserver, SourceTrace, headers_of
from rsq_pipe.telemetry.record_span import MAX_TEXT, RecordSpan, Value, start
from rsq_pipe.telemetry.sampler import Sampler
from rsq_pipe.telemetry.trace_context import read, with_context


class SourceSpans(SourceObserver):
    """
    Trace one source.

    A sampled record's first span is a PRODUCER span `send <stage>` of operation type `send`, whose context is
    the record's creation context; StageSpans says where these terms come from.

    Args:
        tracer: The SDK's tracer.
        sampler: Decides for each record, once, here.
        pipeline, stage: The names.
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

    def enter(self, batch: Batch, dead: list[Output]) -> SourceTrace:
        """Start the spans of the sampled records, and of all records that cannot be read."""
        now = time.time_ns()
        open_: list[tuple[RecordSpan, str]] = []
        chosen = self._sampler.choose(len(batch))
        if chosen:
            headers = dict(batch.headers)
            for place in chosen:
                span, headers[place] = self._sending(batch, place, now)
                open_.append((span, "emitted"))
            batch = replace(batch, headers=headers)
        if dead and self._sampler.starts_traces:
            traced = [self._dead_letter(letter, now) for letter in dead]
            open_ += [(span, "dead-lettered") for span, _ in traced]
            dead = [letter for _, letter in traced]
        return EntrySpans(batch, dead, open_) if open_ else SourceTrace(batch, dead)

    def _sending(self, batch: Batch, place: int, now: int) -> tuple[RecordSpan, Mapping[str, str]]:
        came_with = batch.headers_at(place)
        span = self._start(batch.rids[place], came_with, now)
        # The context always has a state: it says when the record entered.
        return span, {**came_with, **span.context.headers}

    def _dead_letter(self, letter: Output, now: int) -> tuple[RecordSpan, Output]:
        headers = headers_of(letter.fields)
        span = self._start(headers.get(RID, ""), headers, now)
        if f"{WHY}reason" in headers:
            span.span.set_attribute("rsq.dead_letter.reason", headers[f"{WHY}reason"])
            span.fail(headers.get(f"{WHY}error", ""))
        return span, Output(letter.stream, with_context(letter.fields, span.context))

    def _start(self, rid: str, headers: Mapping[str, str], now: int) -> RecordSpan:
        attributes = {**self._facts, "rsq.rid": rid[:MAX_TEXT]}
        span = start(
            *(self._tracer, self._name, SpanKind.PRODUCER, read(headers)),
            attributes=attributes,
            at=now,
        )
        span.context = span.context.entering(now // 1_000_000)
        return span


class EntrySpans(SourceTrace):
    """
    Hold the open spans of records that are about to enter.

    Args:
        batch, dead: As in SourceTrace.
        spans: Each with its outcome if the records enter.
    """

    def __init__(self, batch: Batch, dead: list[Output], spans: list[tuple[RecordSpan, str]]) -> None:
        super().__init__(batch, dead)
        self._open = spans

    def settled(self, counts: bool) -> None:
        """End the spans: the records are in the pipeline, or another process has read them."""
        now = time.time_ns()
        for span, outcome in self._open:
            span.end(outcome if counts else "unsettled", settled=counts, at=now)
        self._open.clear()
