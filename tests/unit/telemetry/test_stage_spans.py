"""The spans of a stage worker's batches."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rsq_pipe.spec.sampling import parse_sampling
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.settlement import Entry, Output, Part, Settled, Settlement
from rsq_pipe.telemetry.observer import headers_of
from rsq_pipe.telemetry.sampler import Sampler
from rsq_pipe.telemetry.stage_spans import StageSpans
from rsq_pipe.telemetry.tally import Tally
from rsq_pipe.telemetry.trace_context import read

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
INPUT, AGAIN = "{p}:above", "{p}:work:again"


class Stage:
    """A stage worker's observer, and the spans it has ended."""

    def __init__(self, sample: str = "all", *, is_entry: bool = False, trust: bool = False) -> None:
        self._ended = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._ended))
        self.tally = Tally()
        self.observer = StageSpans(
            provider.get_tracer("test"),
            Sampler(parse_sampling(sample), trust=trust),
            pipeline="p",
            stage="work",
            again=AGAIN,
            outside=frozenset([INPUT] if is_entry else []),
            max_links=3,
            tally=self.tally,
        )

    def settle(self, messages: list[StreamMessage], *, fenced: bool = False) -> None:
        """End a batch in which every record was emitted."""
        parts = [Part((Entry(m.stream, m.id),), (Output("{p}:work", ["data", b"{}"]),)) for m in messages]
        settlement = Settlement(parts)
        self.observer.decided(settlement)
        self.observer.settled(settlement, Settled((), parts) if fenced else Settled(parts))

    @property
    def spans(self) -> list[ReadableSpan]:
        return [span for span in self._ended.get_finished_spans() if "rsq.rid" in facts(span)]

    @property
    def batches(self) -> list[ReadableSpan]:
        return [span for span in self._ended.get_finished_spans() if "rsq.rid" not in facts(span)]


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def message(number: int, stream: str = INPUT, **headers: str) -> StreamMessage:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return StreamMessage(f"1700000000000-{number}", {}, 1, {"rsq-rid": f"r:{number}", **named}, stream, b"{}")


def test_batch_without_a_traced_record_is_handed_on_as_it_is_and_leaves_no_span() -> None:
    stage = Stage()
    messages = [message(1), message(2)]

    assert stage.observer.begin(messages) is messages
    stage.settle(messages)

    assert stage.spans == stage.batches == []


def test_traced_record_carries_its_new_span_and_the_others_are_untouched() -> None:
    stage = Stage()
    messages = [message(1), message(2, traceparent=PARENT, tracestate="v=1")]

    first, second = stage.observer.begin(messages)
    stage.settle([first, second])

    assert first is messages[0]
    (span,) = stage.spans
    context = read(second.headers)
    assert context is not None
    assert (span.context.trace_id, span.context.span_id) == (context.trace_id, context.span_id)
    assert f"{context.trace_id:032x}" == TRACE
    assert context.state == "v=1"
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert messages[1].headers["traceparent"] == PARENT


def test_span_of_a_fenced_record_says_that_it_does_not_count() -> None:
    stage = Stage()
    messages = stage.observer.begin([message(1, traceparent=PARENT)])

    stage.settle(messages, fenced=True)

    (span,) = stage.spans
    assert facts(span)["rsq.settled"] is False


def test_spans_of_a_batch_that_was_never_settled_are_ended_by_the_next() -> None:
    stage = Stage()
    stage.observer.begin([message(1, traceparent=PARENT)])

    stage.observer.begin([message(2)])

    (span,) = stage.spans
    assert (facts(span)["rsq.outcome"], facts(span)["rsq.settled"]) == ("unsettled", False)
    assert len(stage.batches) == 1


def test_links_beyond_the_limit_are_counted() -> None:
    stage = Stage()
    messages = stage.observer.begin([message(n, traceparent=PARENT) for n in range(5)])
    stage.settle(messages)

    (batch,) = stage.batches
    assert len(batch.links) == 3
    assert facts(batch)["rsq.links.left_out"] == 2
    assert facts(batch)["messaging.batch.message_count"] == 5


@pytest.mark.parametrize("sample", ["all", "none"])
def test_broken_context_is_taken_away_and_counted(sample: str) -> None:
    stage = Stage(sample)

    (kept,) = stage.observer.begin([message(1, traceparent="00-forged", tracestate="x=1")])

    assert dict(kept.headers) == {"rsq-rid": "r:1"}
    assert stage.tally.broken == 1
    stage.settle([kept])
    assert stage.spans == []


def test_record_its_sender_does_not_sample_goes_on_as_it_came() -> None:
    stage = Stage(is_entry=True)
    messages = [message(1, traceparent=PARENT[:-2] + "00")]

    assert stage.observer.begin(messages) is messages


@pytest.mark.parametrize(("sample", "most"), [("10/s", 10), ("1%", 10), ("none", 0)])
def test_no_more_traces_are_followed_from_outside_than_are_sampled_unless_they_are_trusted(
    sample: str, most: int
) -> None:
    forged = [message(n, traceparent=PARENT, tracestate="x=1") for n in range(1_000)]
    stage = Stage(sample, is_entry=True)

    traced = stage.observer.begin(forged)
    stage.settle(traced)

    assert len(stage.spans) == most
    rest = [one.headers for one in traced if one.headers["traceparent"] == PARENT[:-2] + "00"]
    assert len(rest) == 1_000 - most
    assert rest[0]["tracestate"] == "x=1"
    trusting = Stage(sample, is_entry=True, trust=True)
    trusting.settle(trusting.observer.begin(forged))
    assert len(trusting.spans) == 1_000


def test_traces_of_the_pipelines_own_are_followed_however_many_they_are() -> None:
    stage = Stage("1/s")

    stage.settle(stage.observer.begin([message(n, traceparent=PARENT) for n in range(100)]))

    assert len(stage.spans) == 100


def test_decision_is_made_where_records_enter_and_nowhere_else() -> None:
    assert read(Stage(is_entry=True).observer.begin([message(1)])[0].headers) is not None
    assert read(Stage(is_entry=False).observer.begin([message(1)])[0].headers) is None


def test_failing_record_starts_a_trace_unless_none_are_wanted() -> None:
    for sample, traced in (("1%", True), ("none", False)):
        stage = Stage(sample)
        messages = stage.observer.begin([message(1)])

        failed = stage.observer.failing(messages[0], ValueError("no\x00good"))
        stage.settle([failed])

        assert (read(failed.headers) is not None) is traced
        assert [facts(span)["error.type"] for span in stage.spans] == ["ValueError"] * traced


@pytest.mark.parametrize("kept", [True, False], ids=["parent-kept", "parent-left-out"])
def test_replayed_record_links_to_its_old_trace_once(kept: bool) -> None:
    stage = Stage()
    parent = {"traceparent": PARENT} if kept else {}

    (replayed,) = stage.observer.begin([message(1, AGAIN, rsq_replay_link=PARENT, **parent)])
    stage.settle([replayed])

    (span,) = stage.spans
    assert span.parent is None
    old = [link for link in span.links if (link.attributes or {}).get("rsq.link") == "replay"]
    assert [f"{link.context.trace_id:032x}" for link in old] == [TRACE]
    assert "rsq-replay-link" not in replayed.headers


def bury(stage: Stage, *, fenced: bool = False, **headers: str) -> dict[str, str]:
    """Dead-letter an entry that no handler saw; return the headers of its dead letter."""
    entry = Entry(INPUT, "1-9", 3)
    why = {"rsq-rid": "r:9", "rsq-dlq-reason": "decode_error", "rsq-dlq-error": "E: no", **headers}
    letter = stage.observer.burying(entry, Output("{p}:work:dlq", ["data", b"x", *chain(*why.items())]))
    part = Part((entry,), dead=(letter,))
    stage.observer.settled(Settlement([part]), Settled((), [part]) if fenced else Settled([part]))
    return headers_of(letter.fields)


def test_entry_no_handler_saw_gets_a_trace_that_its_dead_letter_names() -> None:
    stage = Stage()

    headers = bury(stage)

    (span,) = stage.spans
    assert headers["traceparent"].split("-")[1] == f"{span.context.trace_id:032x}"
    assert facts(span)["rsq.outcome"] == "dead-lettered"
    assert facts(span)["rsq.dead_letter.reason"] == "decode_error"
    assert facts(span)["rsq.rid"] == "r:9"


def test_entry_no_handler_saw_ends_in_the_trace_it_came_with() -> None:
    stage = Stage()

    headers = bury(stage, traceparent=PARENT)

    (span,) = stage.spans
    assert headers["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"


def test_dead_letter_that_another_worker_wrote_first_does_not_count() -> None:
    stage = Stage()

    bury(stage, fenced=True)

    (span,) = stage.spans
    assert (facts(span)["rsq.outcome"], facts(span)["rsq.settled"]) == ("unsettled", False)


def test_dead_letter_is_left_as_it_is_where_nothing_is_to_be_traced() -> None:
    stage = Stage("none")

    assert "traceparent" not in bury(stage)
    assert stage.spans == []
