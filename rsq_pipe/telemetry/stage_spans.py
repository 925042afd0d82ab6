"""StageSpans: the spans of one stage worker: for its batches, and for entries that never reach a handler."""

from __future__ import annotations

import time
from collections.abc import Container

from opentelemetry.trace import SpanKind, Tracer

from rsq_pipe.ids import record_id
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.delivery import Delivery
from rsq_pipe.streams.headers import RID, WHY
from rsq_pipe.streams.settlement import Output
from rsq_pipe.telemetry.batch_spans import UNSETTLED, BatchSpans, StageTracing
from rsq_pipe.telemetry.observer import StageObserver, headers_of
from rsq_pipe.telemetry.record_span import RecordSpan, start
from rsq_pipe.telemetry.sampler import Sampler
from rsq_pipe.telemetry.selection import select
from rsq_pipe.telemetry.tally import Tally
from rsq_pipe.telemetry.trace_context import read, with_context


class StageSpans(StageObserver):
    """
    Trace one stage worker.

    Names, kinds and `messaging.*` attributes are those of the OpenTelemetry conventions for messaging spans,
    version 1.45 (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/, in development):
    a span is named `{operation} {destination}`, processing is a CONSUMER span of operation type `process`,
    and a span for a batch links to the creation context of each message. A record's own span is a child of
    that context, so one record is one trace. Names that the conventions lack are under `rsq.`.

    Args:
        tracer: The SDK's tracer.
        sampler: Decides on records that come from outside.
        pipeline, stage: The names.
        again_stream: The key of the stage's own stream, where replayed records come from.
        outside: The keys of the streams among its inputs that others write.
        max_links: Maximum number of links of one span, by the SDK's limits.
        tally: Counts malformed contexts and latencies.
    """

    def __init__(
        self,
        tracer: Tracer,
        sampler: Sampler,
        *,
        pipeline: str,
        stage: str,
        again_stream: str,
        outside: frozenset[str],
        max_links: int,
        tally: Tally,
    ) -> None:
        facts = {
            "messaging.system": "redis",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": stage,
            "rsq.pipeline": pipeline,
            "rsq.stage": stage,
        }
        self._stage = StageTracing(
            tracer,
            sampler,
            name=f"process {stage}",
            facts=facts,
            again_stream=again_stream,
            is_entry=bool(outside),
            max_links=max_links,
            tally=tally,
        )
        self._outside = outside
        self._dead: dict[tuple[str, str], RecordSpan] = {}

    def begin(self, batch: Batch) -> BatchSpans:
        """Start a span for each record that is traced."""
        stage = self._stage
        spans = BatchSpans(stage, batch)
        selection = select(batch, stage.sampler, again_stream=stage.again_stream, outside=self._outside)
        if selection is not None:
            stage.tally.broken += len(selection.broken)
            spans.trace(selection)
        return spans

    def dead_letter(self, stream: str, entry_id: str, deliveries: int, letter: Output) -> Output:
        """Start the span of an entry that no handler sees; its dead letter names the trace."""
        stage, headers = self._stage, headers_of(letter.fields)
        context = read(headers)
        if context is None and not stage.sampler.starts_traces:
            return letter
        rid = headers.get(RID) or record_id(stream, entry_id)
        attributes = stage.about(Delivery(stream, entry_id, deliveries), rid)
        attributes["rsq.dead_letter.reason"] = headers.get(f"{WHY}reason", "")
        span = start(
            *(stage.tracer, stage.name, SpanKind.CONSUMER, context),
            attributes=attributes,
            at=time.time_ns(),
        )
        span.fail(headers.get(f"{WHY}error", ""))
        self._dead[stream, entry_id] = span
        return Output(letter.stream, with_context(letter.fields, span.context))

    def dead_letters_settled(self, lost: Container[tuple[str, str]]) -> None:
        """End the spans of entries that never reached a handler."""
        now = time.time_ns()
        for key, span in self._dead.items():
            counts = key not in lost
            span.end("dead-lettered" if counts else UNSETTLED, settled=counts, at=now)
        self._dead.clear()

    def close(self) -> None:
        """End the spans of batches and entries that were never settled."""
        for batch in list(self._stage.under_way):
            batch.close()
        self.dead_letters_settled(lost=self._dead.copy())
