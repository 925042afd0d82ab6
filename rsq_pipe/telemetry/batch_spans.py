"""BatchSpans: the spans of one batch in one stage, and of its records."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer

from rsq_pipe.model.batch import NO_HEADERS, Batch
from rsq_pipe.model.delivery import Delivered
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.streams.headers import PARENT, REPLAY_LINK, STATE
from rsq_pipe.telemetry.observer import BatchTrace
from rsq_pipe.telemetry.record_span import MAX_TEXT, RecordSpan, Value, remote, start
from rsq_pipe.telemetry.sampler import Sampler
from rsq_pipe.telemetry.selection import Selection, is_of
from rsq_pipe.telemetry.tally import Tally
from rsq_pipe.telemetry.trace_context import TraceContext, read, read_parent

UNSETTLED = "unsettled"
"""The outcome of a record that this worker did not settle."""


class StageTracing(Struct, frozen=True):
    """
    Hold the data shared by all batches of one stage worker.

    Args:
        tracer: The SDK's tracer.
        sampler: Decides whether a failing record begins a trace.
        name: The name of the spans.
        facts: Attributes of all spans.
        again_stream: The key of the stage's own stream, where replayed records come from.
        is_entry: Whether records come from outside.
        max_links: Maximum number of links of one span, by the SDK's limits.
        tally: Counts malformed contexts and latencies.
        under_way: The batches that have open spans.
    """

    tracer: Tracer
    sampler: Sampler
    name: str
    facts: Mapping[str, Value]
    again_stream: str
    is_entry: bool
    max_links: int
    tally: Tally
    under_way: set[BatchSpans] = field(default_factory=set)

    def about(self, delivery: Delivered | None, rid: str) -> dict[str, Value]:
        """Return attributes that identify a record, and its entry, if any."""
        attributes = {**self.facts, "rsq.rid": rid[:MAX_TEXT]}
        if delivery is not None:
            attributes |= {
                "messaging.destination.name": delivery.stream,
                "messaging.message.id": delivery.id,
                "rsq.delivery_count": delivery.deliveries,
            }
        return attributes


class BatchSpans(BatchTrace):
    """
    Trace one batch.

    Spans are keyed by the place of their record in the batch, because an entry may hold several records.

    Args:
        stage: The data shared with the stage's other batches.
        batch: The batch.
    """

    def __init__(self, stage: StageTracing, batch: Batch) -> None:
        super().__init__(batch)
        self._stage = stage
        self._began = time.time_ns()
        self._whole: Span | None = None
        self._open: dict[int, RecordSpan] = {}
        self._late: dict[int, Mapping[str, str]] = {}
        """Headers of records whose spans began when they failed."""

    def trace(self, selection: Selection) -> None:
        """Start the spans of records, and remove or mark the contexts that are not followed."""
        headers = dict(self.batch.headers)
        for place in selection.broken:
            headers[place] = {n: text for n, text in headers[place].items() if n not in {PARENT, STATE}}
            if not headers[place]:
                del headers[place]
        for place, context in selection.passed_over.items():
            # The trace id is passed on, for searches; the stages below must not record the trace.
            headers[place] = {**headers[place], **replace(context, sampled=False).headers}
        if selection.parents:
            self._start_whole([(i, c) for i, c in selection.parents.items() if c is not None])
        for place, parent in selection.parents.items():
            headers[place] = self._start(place, headers.get(place, NO_HEADERS), parent)
        self.batch = replace(self.batch, headers=headers)

    def failing(self, place: int, error: BaseException | str) -> Mapping[str, str]:
        """Note why a record failed; one without a trace gets one here, so that every failure can be found."""
        headers = self._late.get(place) or self.batch.headers_at(place)
        if place not in self._open:
            if not self._stage.sampler.starts_traces:
                return headers
            if self._whole is None:
                self._start_whole(())
            headers = self._late[place] = self._start(place, headers, read(headers))
        self._open[place].fail(error)
        return headers

    def end(self, outcomes: Outcomes, dispositions: Mapping[int, str], lost: Container[int]) -> None:
        """End the spans: only now is it known whether their outcomes count."""
        if not self._open:
            return
        now = time.time_ns()
        dropped = {
            place: why for why, places in outcomes.dropped.items() for place in places if place in self._open
        }
        done = self._open.keys() & set(outcomes.done)
        stored = self._open.keys() & set(outcomes.stored)
        for place, span in self._open.items():
            outcome = self._outcome(place, dispositions, dropped, lost)
            if place in done and outcome == "emitted":
                self._note_latency(span, now)
            if place in stored and outcome == "emitted":
                outcome = "stored"
            why = dropped.get(place) if outcome == "dropped" else None
            span.end(
                outcome,
                settled=outcome != UNSETTLED,
                at=now,
                why={"rsq.drop.reason": why[:MAX_TEXT]} if why else None,
            )
        fenced = sum(origin in lost for origin in self.batch.origins)
        halted = sum(
            disposition == "halted" and self.batch.origins[place] not in lost
            for place, disposition in dispositions.items()
        )
        self._end_whole(now, committed=len(self.batch) - fenced - halted, fenced=fenced)

    def close(self) -> None:
        """End the spans of a batch that was never settled: its handler was cancelled, or the server away."""
        if not self._open:
            return
        now = time.time_ns()
        for span in self._open.values():
            span.end(UNSETTLED, settled=False, at=now)
        self._end_whole(now, committed=0, fenced=0)

    # Spans

    def _start(
        self, place: int, came_with: Mapping[str, str], parent: TraceContext | None
    ) -> Mapping[str, str]:
        """Start a record's span, and return the record's headers with the span's context among them."""
        stage, delivery = self._stage, self.batch.delivery_at(place)
        headers = dict(came_with)
        attributes = stage.about(delivery, self.batch.rids[place])
        attributes["rsq.attempt"] = self.batch.attempts_at(place) + 1
        if delivery is not None:
            attributes["rsq.wait_ms"] = self._waited(delivery)
        links = [Link(self._whole.get_span_context(), {"rsq.link": "batch"})] if self._whole else []
        old = read_parent(headers.pop(REPLAY_LINK, ""))
        if old is not None and is_of(self.batch, place, stage.again_stream):  # only this stage writes there
            links.append(Link(remote(old), {"rsq.link": "replay"}))
            # A replay may come days later: it gets its own trace, with a link, rather than prolonging the old
            # one.
            if old.parent == headers.get(PARENT) and stage.sampler.starts_traces:
                parent = None
        span = start(
            *(stage.tracer, stage.name, SpanKind.CONSUMER, parent),
            attributes=attributes,
            at=self._began,
            links=links,
        )
        if stage.is_entry or parent is None:
            written = _written_at(delivery)
            span.context = span.context.entering(written or self._began // 1_000_000)
        self._open[place] = span
        stage.under_way.add(self)
        headers.pop(STATE, None)
        return headers | span.context.headers

    def _start_whole(self, parents: Sequence[tuple[int, TraceContext]]) -> None:
        """Start the batch's own span."""
        links: list[Link] = []
        for place, context in parents[: self._stage.max_links]:
            delivery = self.batch.delivery_at(place)
            links.append(Link(remote(context), {"messaging.message.id": delivery.id} if delivery else None))
        attributes: dict[str, Value] = {
            **self._stage.facts,
            "messaging.batch.message_count": len(self.batch),
        }
        if len(parents) > len(links):
            attributes["rsq.links.left_out"] = len(parents) - len(links)
        self._whole = self._stage.tracer.start_span(
            self._stage.name, Context(), SpanKind.CONSUMER, attributes, links, self._began
        )

    def _end_whole(self, at: int, *, committed: int, fenced: int) -> None:
        """End the batch's own span, after those of its records; both numbers count records."""
        self._open.clear()
        self._stage.under_way.discard(self)
        if self._whole is not None:
            self._whole.set_attributes({"rsq.committed": committed, "rsq.fenced": fenced})
            self._whole.end(at)
            self._whole = None

    def _outcome(
        self, place: int, dispositions: Mapping[int, str], dropped: Container[int], lost: Container[int]
    ) -> str:
        if self.batch.origins[place] in lost:
            return UNSETTLED
        disposition = dispositions.get(place, "")
        if disposition:
            return UNSETTLED if disposition == "halted" else disposition
        if self._open[place].failed:  # and its outcome is unknown
            return UNSETTLED
        return "dropped" if place in dropped else "emitted"

    # Times

    def _waited(self, delivery: Delivered) -> int:
        """Milliseconds since the entry was written, by two machines' clocks, so never below zero."""
        written = _written_at(delivery)
        return max(0, self._began // 1_000_000 - written) if written else 0

    def _note_latency(self, span: RecordSpan, now: int) -> None:
        if entered := span.context.entered_at:
            self._stage.tally.latency(max(0.0, now / 1e9 - entered / 1e3), self._stage.facts["rsq.stage"])


def _written_at(delivery: Delivered | None) -> int:
    """Milliseconds since 1970 at which an entry was written; 0 if its id does not say, or there is none."""
    ms = delivery.id.partition("-")[0] if delivery is not None else ""
    return int(ms) if ms.isdigit() else 0
