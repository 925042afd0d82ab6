"""What a stage worker traces: whose contexts it follows, and entries that meet no handler."""

from __future__ import annotations

from itertools import chain

import pytest

from rsq_pipe.model.delivery import Delivery
from rsq_pipe.streams.settlement import Output
from rsq_pipe.telemetry.observer import headers_of
from rsq_pipe.telemetry.trace_context import read
from tests.support.traced_stage import (
    AGAIN,
    INPUT,
    NONE,
    PARENT,
    TRACE,
    TRACED,
    TracedStage,
    batch_of,
    end,
    facts,
)


def test_batch_without_a_traced_record_is_handed_on_as_it_is_and_leaves_no_span() -> None:
    stage = TracedStage()
    batch = batch_of(NONE, {"user": "x"})

    trace = stage.observer.begin(batch)
    end(trace)

    assert trace.batch is batch
    assert stage.spans == stage.batches == []


@pytest.mark.parametrize("whose", ["batch", "worker"])
def test_spans_of_a_batch_that_was_never_settled_are_ended_when_it_is_given_up_or_the_worker_ends(
    whose: str,
) -> None:
    stage = TracedStage()
    trace = stage.observer.begin(batch_of(TRACED))

    for _ in range(2):
        (trace if whose == "batch" else stage.observer).close()

    (span,) = stage.spans
    assert (facts(span)["rsq.outcome"], facts(span)["rsq.settled"]) == ("unsettled", False)
    assert len(stage.batches) == 1


def test_two_batches_under_way_at_once_do_not_end_each_others_spans() -> None:
    stage = TracedStage()
    # The same places, and the same entry, handed out again before the first worker's lane let go of it.
    first, second = stage.observer.begin(batch_of(TRACED)), stage.observer.begin(batch_of(TRACED))
    failed = second.failing(0, ValueError("no"))
    end(first)

    (span,) = stage.spans
    assert facts(span)["rsq.outcome"] == "emitted"
    assert len(stage.batches) == 1
    end(second, dispositions={0: "retried"})
    assert [facts(span)["rsq.outcome"] for span in stage.spans] == ["emitted", "retried"]
    assert failed["traceparent"] == second.batch.headers[0]["traceparent"]
    assert failed["traceparent"] != first.batch.headers[0]["traceparent"]
    assert len(stage.batches) == 2


@pytest.mark.parametrize("sample", ["all", "none"])
def test_broken_context_is_taken_away_and_counted(sample: str) -> None:
    stage = TracedStage(sample)
    broken = {"traceparent": "00-forged", "tracestate": "x=1"}

    trace = stage.observer.begin(batch_of(broken, {**broken, "user": "x"}))

    assert trace.batch.headers == {1: {"user": "x"}}
    assert stage.tally.broken == 2
    end(trace)
    assert stage.spans == []


def test_record_its_sender_does_not_sample_goes_on_as_it_came() -> None:
    stage = TracedStage(is_entry=True)
    batch = batch_of({"traceparent": PARENT[:-2] + "00"})

    assert stage.observer.begin(batch).batch is batch


@pytest.mark.parametrize(("sample", "most"), [("10/s", 10), ("1%", 10), ("none", 0)])
def test_no_more_traces_are_followed_from_outside_than_are_sampled_unless_they_are_trusted(
    sample: str, most: int
) -> None:
    forged = batch_of(*[{**TRACED, "tracestate": "x=1"}] * 1_000)
    stage = TracedStage(sample, is_entry=True)

    trace = stage.observer.begin(forged)
    end(trace)

    assert len(stage.spans) == most
    headers = trace.batch.headers.values()
    rest = [one for one in headers if one["traceparent"] == PARENT[:-2] + "00"]
    assert len(rest) == 1_000 - most
    assert rest[0]["tracestate"] == "x=1"
    trusting = TracedStage(sample, is_entry=True, trust=True)
    end(trusting.observer.begin(forged))
    assert len(trusting.spans) == 1_000


def test_traces_of_the_pipelines_own_are_followed_however_many_they_are() -> None:
    stage = TracedStage("1/s")

    end(stage.observer.begin(batch_of(*[TRACED] * 100)))

    assert len(stage.spans) == 100


def test_decision_is_made_where_records_enter_and_nowhere_else() -> None:
    assert read(TracedStage(is_entry=True).observer.begin(batch_of(NONE)).batch.headers_at(0)) is not None
    assert TracedStage(is_entry=False).observer.begin(batch_of(NONE)).batch.headers == {}


def test_record_that_enters_without_a_trace_is_sampled_beside_those_that_bring_one_and_those_of_our_own() -> (
    None
):
    stage = TracedStage(is_entry=True)
    batch = batch_of(NONE, TRACED, {"traceparent": "forged"}, NONE, NONE, entries=[1, 1, 1, 2])
    batch.deliveries = [*batch.deliveries[:3], Delivery(AGAIN, "1700000000000-9", 1)]

    trace = stage.observer.begin(batch)
    end(trace)

    spans = {facts(span)["rsq.rid"]: span.parent is None for span in stage.spans}
    assert spans == {"r:1": True, "r:2": False, "r:3": True}
    assert sorted(trace.batch.headers) == [0, 1, 2]
    entered = read(trace.batch.headers[0])
    assert entered is not None
    assert entered.entered_at == 1700000000000


def test_records_of_our_own_streams_are_not_sampled_beside_those_that_enter() -> None:
    stage = TracedStage(is_entry=True)
    batch = batch_of(NONE, NONE, NONE)
    batch.deliveries = [Delivery(AGAIN, "1700000000000-9", 1), *batch.deliveries[1:]]

    assert sorted(stage.observer.begin(batch).batch.headers) == [1, 2]


def test_trace_that_comes_from_outside_says_when_its_record_entered() -> None:
    trace = TracedStage(is_entry=True).observer.begin(batch_of(TRACED))

    entered = read(trace.batch.headers[0])
    assert entered is not None
    assert entered.entered_at == 1700000000000


def dead_letter(stage: TracedStage, *, fenced: bool = False, **headers: str) -> dict[str, str]:
    """Dead-letter an entry that no handler saw; return the headers of its dead letter."""
    why = {"rsq-rid": "r:9", "rsq-dlq-reason": "decode_error", "rsq-dlq-error": "E: no", **headers}
    came = Output("{p}:work:dlq", ["data", b"x", *chain(*why.items())])
    letter = stage.observer.dead_letter(INPUT, "1-9", 3, came)
    stage.observer.dead_letters_settled({(INPUT, "1-9")} if fenced else ())
    return headers_of(letter.fields)


def test_entry_no_handler_saw_gets_a_trace_that_its_dead_letter_names() -> None:
    stage = TracedStage()

    headers = dead_letter(stage)

    (span,) = stage.spans
    assert headers["traceparent"].split("-")[1] == f"{span.context.trace_id:032x}"
    assert facts(span)["rsq.outcome"] == "dead-lettered"
    assert facts(span)["rsq.dead_letter.reason"] == "decode_error"
    assert facts(span)["rsq.rid"] == "r:9"


def test_entry_no_handler_saw_ends_in_the_trace_it_came_with() -> None:
    stage = TracedStage()

    headers = dead_letter(stage, traceparent=PARENT)

    (span,) = stage.spans
    assert headers["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"


def test_dead_letter_that_another_worker_wrote_first_does_not_count() -> None:
    stage = TracedStage()

    dead_letter(stage, fenced=True)

    (span,) = stage.spans
    assert (facts(span)["rsq.outcome"], facts(span)["rsq.settled"]) == ("unsettled", False)


def test_dead_letter_is_left_as_it_is_where_nothing_is_to_be_traced() -> None:
    stage = TracedStage("none")

    assert "traceparent" not in dead_letter(stage)
    assert stage.spans == []


def test_dead_letter_that_was_never_settled_does_not_count() -> None:
    stage = TracedStage()
    stage.observer.dead_letter(INPUT, "1-9", 3, Output("{p}:work:dlq", ["data", b"x"]))

    stage.observer.close()

    (span,) = stage.spans
    assert (facts(span)["rsq.outcome"], facts(span)["rsq.settled"]) == ("unsettled", False)
    assert facts(span)["rsq.rid"] == f"{INPUT}:1-9"
