"""StageSpans: the spans of one stage worker's batches, and of the records in them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer

from rsq_pipe.ids import record_id
from rsq_pipe.streams.headers import PARENT, REPLAY_LINK, RID, STATE, WHY
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.settlement import Entry, Output, Part, Settled, Settlement
from rsq_pipe.telemetry.observer import StageObserver, headers_of
from rsq_pipe.telemetry.record_span import MAX_TEXT, RecordSpan, Value, remote, start
from rsq_pipe.telemetry.sampler import Sampler
from rsq_pipe.telemetry.tally import Tally
from rsq_pipe.telemetry.trace_context import TraceContext, read, read_parent, with_context

_Key = tuple[str, str]


class StageSpans(StageObserver):
    """
    Trace one stage worker.

    Names, kinds and `messaging.*` attributes are those of the OpenTelemetry conventions for messaging spans,
    version 1.45 (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/, in development):
    a span is named `{operation} {destination}`, processing is a CONSUMER span of operation type `process`,
    and a span for a batch links to the creation context of each message. A record's own span is a child of
    that context, so that one record is one trace. What the conventions do not name is under `rsq.`.

    Args:
        tracer: The SDK's.
        sampler: Decides on records that come from outside.
        pipeline, stage: Names.
        again: The key of the stage's own stream, where replayed records come from.
        outside: The keys of the streams among its inputs that others write.
        max_links: What one span holds, by the SDK's limits.
        tally: Where to count.
    """

    def __init__(
        self,
        tracer: Tracer,
        sampler: Sampler,
        *,
        pipeline: str,
        stage: str,
        again: str,
        outside: frozenset[str],
        max_links: int,
        tally: Tally,
    ) -> None:
        self._tracer = tracer
        self._sampler = sampler
        self._name = f"process {stage}"
        self._again = again
        self._outside = outside
        self._max_links = max_links
        self._tally = tally
        self._facts: dict[str, Value] = {
            "messaging.system": "redis",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": stage,
            "rsq.pipeline": pipeline,
            "rsq.stage": stage,
        }
        self._size = 0
        self._began = 0
        self._batch: Span | None = None
        self._open: dict[_Key, RecordSpan] = {}
        self._buried: dict[_Key, RecordSpan] = {}
        self._settlement: Settlement | None = None

    def begin(self, messages: list[StreamMessage]) -> list[StreamMessage]:
        """Start a span for each record that is traced; the others cost one look at their headers."""
        self.close()
        self._size, self._began = len(messages), time.time_ns()
        carrying = [place for place, message in enumerate(messages) if PARENT in message.headers]
        parents, broken, passed_over = self._followed(messages, carrying)
        if messages and messages[0].stream == self._again:
            parents |= self._replayed(messages)
        if self._outside:
            parents |= self._entering(messages, broken)
        if not parents and not broken and not passed_over:
            return messages
        traced = list(messages)
        for place in broken:
            traced[place] = _without_context(messages[place])
        for place, unfollowed in passed_over.items():
            # The trace goes on by its id, for whoever looks for it; the stages behind must not record it.
            headers = {**messages[place].headers, **replace(unfollowed, sampled=False).headers}
            traced[place] = replace(messages[place], headers=headers)
        if parents:
            self._batch = self._start_batch([(messages[i], c) for i, c in parents.items() if c is not None])
        for place, context in parents.items():
            traced[place] = self._start(traced[place], context)
        return traced

    def failing(self, message: StreamMessage, error: BaseException | str) -> StreamMessage:
        """Note why a record failed; one without a trace gets one here, so that each failure can be found."""
        key = (message.stream, message.id)
        if key not in self._open:
            if not self._sampler.starts_traces:
                return message
            self._batch = self._batch or self._start_batch(())
            message = self._start(message, read(message.headers))
        self._open[key].fail(error)
        return message

    def burying(self, entry: Entry, letter: Output) -> Output:
        """Start the span of an entry that no handler sees; its dead letter names the trace."""
        headers = headers_of(letter.fields)
        context = read(headers)
        if context is None and not self._sampler.starts_traces:
            return letter
        attributes = self._about(entry, headers)
        attributes["rsq.dead_letter.reason"] = headers.get(f"{WHY}reason", "")
        span = start(
            *(self._tracer, self._name, SpanKind.CONSUMER, context),
            attributes=attributes,
            at=time.time_ns(),
        )
        span.fail(headers.get(f"{WHY}error", ""))
        self._buried[entry.stream, entry.id] = span
        return Output(letter.stream, with_context(letter.fields, span.context))

    def decided(self, settlement: Settlement) -> None:
        """Remember the settlement, so that `settled` knows it again."""
        self._settlement = settlement

    def settled(self, settlement: Settlement, settled: Settled) -> None:
        """End the batch's spans: only now is it known whether what they tell counts."""
        if settlement is not self._settlement:
            self._end_buried(settled)
            return
        self._settlement = None
        if not self._open:
            return
        committed = self._parts_of_open(settled.committed)
        fenced = self._parts_of_open(settled.fenced)
        now = time.time_ns()
        for key, span in self._open.items():
            part = committed.get(key)
            if part is not None:
                self._note_latency(span, part, now)
            outcome = _outcome(span, part or fenced.get(key))
            reason = (part or fenced.get(key) or Part()).reason
            why = {"rsq.drop.reason": reason[:MAX_TEXT]} if outcome == "dropped" and reason else None
            span.end(outcome, settled=part is not None, at=now, why=why)
        self._open.clear()
        self._end_batch(now, committed=_entries(settled.committed), fenced=_entries(settled.fenced))

    def close(self) -> None:
        """End the spans of a batch that was never settled: its handler was cancelled, or the server away."""
        if self._open:
            now = time.time_ns()
            for span in self._open.values():
                span.end("unsettled", settled=False, at=now)
            self._open.clear()
            self._end_batch(now, committed=0, fenced=0)
        self._end_buried(Settled(()))
        self._settlement = None

    # What is traced

    def _followed(
        self, messages: Sequence[StreamMessage], carrying: Sequence[int]
    ) -> tuple[dict[int, TraceContext | None], list[int], dict[int, TraceContext]]:
        """Read the contexts that records carry: those followed, broken ones' places, those passed over."""
        found = {place: read(messages[place].headers) for place in carrying}
        broken = [place for place, context in found.items() if context is None]
        self._tally.broken += len(broken)
        contexts = {place: context for place, context in found.items() if context is not None}
        brought = [place for place in contexts if messages[place].stream in self._outside]
        own = contexts.keys() - brought
        followed: dict[int, TraceContext | None] = {
            place: contexts[place] for place in own if self._sampler.follows(contexts[place])
        }
        if not brought:
            return followed, broken, {}
        records = sum(message.stream in self._outside for message in messages)
        chosen = self._sampler.choose_followed([contexts[place] for place in brought], records)
        followed |= {brought[choice]: contexts[brought[choice]] for choice in chosen}
        rest = {p: contexts[p] for p in brought if p not in followed and contexts[p].sampled}
        return dict(sorted(followed.items())), broken, rest

    def _replayed(self, messages: Sequence[StreamMessage]) -> dict[int, TraceContext | None]:
        """Find records sent back from the dead letters without their old context: they begin a new trace."""
        if not self._sampler.starts_traces:
            return {}
        return {
            place: None
            for place, message in enumerate(messages)
            if REPLAY_LINK in message.headers and PARENT not in message.headers
        }

    def _entering(
        self, messages: Sequence[StreamMessage], broken: Sequence[int]
    ) -> dict[int, TraceContext | None]:
        """Sample among the records that came from outside without a context, or with one that is broken."""
        fresh = [
            place
            for place, message in enumerate(messages)
            if (PARENT not in message.headers or place in broken) and message.stream in self._outside
        ]
        return {fresh[choice]: None for choice in self._sampler.choose(len(fresh))}

    # Spans

    def _start(self, message: StreamMessage, parent: TraceContext | None) -> StreamMessage:
        """Start a record's span, and return the record with the span's context in its headers."""
        headers = dict(message.headers)
        attributes = self._about(Entry(message.stream, message.id, message.delivery_count), headers)
        attributes |= {"rsq.attempt": message.attempts + 1, "rsq.wait_ms": self._waited(message)}
        links = [Link(self._batch.get_span_context(), {"rsq.link": "batch"})] if self._batch else []
        old = read_parent(headers.pop(REPLAY_LINK, ""))
        if old is not None:
            links.append(Link(remote(old), {"rsq.link": "replay"}))
            # A replay may come days later: a trace of its own, linked, and not the old one's long tail.
            if old.parent == headers.get(PARENT) and self._sampler.starts_traces:
                parent = None
        began = self._began
        span = start(
            self._tracer, self._name, SpanKind.CONSUMER, parent, attributes=attributes, at=began, links=links
        )
        if self._outside or parent is None:
            span.context = span.context.entering(_entry_ms(message) or began // 1_000_000)
        self._open[message.stream, message.id] = span
        headers.pop(STATE, None)
        return replace(message, headers=headers | span.context.headers)

    def _about(self, entry: Entry, headers: Mapping[str, str]) -> dict[str, Value]:
        """Say which record a span is of."""
        return {
            **self._facts,
            "messaging.destination.name": entry.stream,
            "messaging.message.id": entry.id,
            "rsq.rid": (headers.get(RID) or record_id(entry.stream, entry.id))[:MAX_TEXT],
            "rsq.delivery_count": entry.deliveries,
        }

    def _start_batch(self, parents: Sequence[tuple[StreamMessage, TraceContext]]) -> Span:
        links = [
            Link(remote(context), {"messaging.message.id": message.id})
            for message, context in parents[: self._max_links]
        ]
        attributes: dict[str, Value] = {**self._facts, "messaging.batch.message_count": self._size}
        if len(parents) > self._max_links:
            attributes["rsq.links.left_out"] = len(parents) - self._max_links
        return self._tracer.start_span(
            self._name, Context(), SpanKind.CONSUMER, attributes, links, self._began
        )

    def _end_batch(self, at: int, *, committed: int, fenced: int) -> None:
        if self._batch is not None:
            self._batch.set_attributes({"rsq.committed": committed, "rsq.fenced": fenced})
            self._batch.end(at)
            self._batch = None

    def _parts_of_open(self, parts: Sequence[Part]) -> dict[_Key, Part]:
        """Find what became of the records that are traced; nearly all others are told apart by their id."""
        ids = {entry_id for _, entry_id in self._open}
        return {(entry.stream, entry.id): part for part in parts for entry in part.entries if entry.id in ids}

    def _end_buried(self, settled: Settled) -> None:
        """End the spans of entries that met no handler; what is not among the committed came to nothing."""
        if not self._buried:
            return
        now = time.time_ns()
        ends = {(entry.stream, entry.id) for part in settled.committed for entry in part.entries}
        for key, span in self._buried.items():
            span.end("dead-lettered" if key in ends else "unsettled", settled=key in ends, at=now)
        self._buried.clear()

    # Times

    def _waited(self, message: StreamMessage) -> int:
        """Milliseconds since the entry was written, by two machines' clocks, so never less than none."""
        written = _entry_ms(message)
        return max(0, self._began // 1_000_000 - written) if written else 0

    def _note_latency(self, span: RecordSpan, part: Part, now: int) -> None:
        if part.delivered and not span.failed and (entered := span.context.entered_at):
            self._tally.latency(max(0.0, now / 1e9 - entered / 1e3), self._facts["rsq.stage"])


def _outcome(span: RecordSpan, part: Part | None) -> str:
    if part is None:
        return "unsettled"
    if span.failed:
        return "retried" if part.retries else "dead-lettered" if part.dead else "dropped"
    return "emitted" if part.outputs or part.delivered else "dropped"


def _entries(parts: Sequence[Part]) -> int:
    return sum(len(part.entries) for part in parts)


def _without_context(message: StreamMessage) -> StreamMessage:
    headers = {name: value for name, value in message.headers.items() if name not in {PARENT, STATE}}
    return replace(message, headers=headers)


def _entry_ms(message: StreamMessage) -> int:
    ms = message.id.partition("-")[0]
    return int(ms) if ms.isdigit() else 0
