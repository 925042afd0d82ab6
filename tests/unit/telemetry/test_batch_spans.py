"""The spans of one batch in one stage, and of the records in it."""

from __future__ import annotations

import gc
import weakref

import pytest

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
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


def test_traced_record_carries_its_new_span_and_the_others_are_untouched() -> None:
    stage = TracedStage()
    batch = batch_of(NONE, {**TRACED, "tracestate": "v=1"})

    trace = stage.observer.begin(batch)
    end(trace)

    assert 0 not in trace.batch.headers
    (span,) = stage.spans
    context = read(trace.batch.headers_at(1))
    assert context is not None
    assert (span.context.trace_id, span.context.span_id) == (context.trace_id, context.span_id)
    assert f"{context.trace_id:032x}" == TRACE
    assert context.state == "v=1"
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert batch.headers[1]["traceparent"] == PARENT


def test_span_says_which_record_it_is_of_and_in_which_entry_it_came() -> None:
    stage = TracedStage()
    batch = batch_of(NONE, TRACED)
    batch.attempts = {1: 2}

    end(stage.observer.begin(batch))

    (span,) = stage.spans
    told = facts(span)
    assert (told["rsq.rid"], told["rsq.attempt"], told["rsq.delivery_count"]) == ("r:2", 3, 1)
    assert told["messaging.destination.name"] == INPUT
    assert told["messaging.message.id"] == "1700000000000-2"
    assert told["rsq.wait_ms"] > 0


def test_span_of_a_fenced_record_says_that_it_does_not_count() -> None:
    stage = TracedStage()
    trace = stage.observer.begin(batch_of(TRACED, TRACED, NONE, entries=[1, 2]))

    end(trace, lost={1})

    first, second = stage.spans
    assert (facts(first)["rsq.outcome"], facts(first)["rsq.settled"]) == ("emitted", True)
    assert (facts(second)["rsq.outcome"], facts(second)["rsq.settled"]) == ("unsettled", False)
    (batch,) = stage.batches
    assert (facts(batch)["rsq.committed"], facts(batch)["rsq.fenced"]) == (1, 2)


def test_batch_that_has_ended_can_be_closed() -> None:
    stage = TracedStage()
    trace = stage.observer.begin(batch_of(TRACED))
    end(trace)

    trace.close()
    stage.observer.close()

    (span,) = stage.spans
    assert facts(span)["rsq.outcome"] == "emitted"


def test_records_of_one_entry_have_spans_of_their_own() -> None:
    stage = TracedStage()
    trace = stage.observer.begin(batch_of(TRACED, NONE, TRACED, entries=[3]))

    trace.failing(2, "bad")
    end(trace, dispositions={2: "dead-lettered"})

    spans = {facts(span)["rsq.rid"]: facts(span) for span in stage.spans}
    assert {rid: span["rsq.outcome"] for rid, span in spans.items()} == {
        "r:1": "emitted",
        "r:3": "dead-lettered",
    }
    assert {span["messaging.message.id"] for span in spans.values()} == {"1700000000000-1"}
    (batch,) = stage.batches
    assert facts(batch)["messaging.batch.message_count"] == 3
    assert (facts(batch)["rsq.committed"], facts(batch)["rsq.fenced"]) == (3, 0)


def test_records_that_a_source_has_just_brought_are_traced_without_an_entry() -> None:
    stage = TracedStage()
    batch = Batch([{}, {}], ["read:1", "read:2"], headers={1: TRACED})

    trace = stage.observer.begin(batch)
    failed = trace.failing(0, ValueError("no"))
    end(trace, dispositions={0: "retried"})

    spans = {facts(span)["rsq.rid"]: span for span in stage.spans}
    assert {rid: facts(span)["rsq.outcome"] for rid, span in spans.items()} == {
        "read:1": "retried",
        "read:2": "emitted",
    }
    of_entries = {"messaging.destination.name", "messaging.message.id", "rsq.delivery_count", "rsq.wait_ms"}
    assert not any(of_entries & facts(span).keys() for span in spans.values())
    assert spans["read:2"].parent is not None
    begun = read(failed)
    assert begun is not None
    assert begun.entered_at == (spans["read:1"].start_time or 0) // 1_000_000
    (whole,) = stage.batches
    assert len(whole.links) == 1


def test_records_that_a_source_has_just_brought_do_not_count_where_another_process_brought_them() -> None:
    stage = TracedStage()
    trace = stage.observer.begin(Batch([{}, {}], ["read:1", "read:2"], headers={1: TRACED}))

    end(trace, lost={0})

    (span,) = stage.spans
    assert (facts(span)["rsq.outcome"], facts(span)["rsq.settled"]) == ("unsettled", False)


def test_links_beyond_the_limit_are_counted() -> None:
    stage = TracedStage()
    end(stage.observer.begin(batch_of(*[TRACED] * 5)))

    (batch,) = stage.batches
    assert len(batch.links) == 3
    assert facts(batch)["rsq.links.left_out"] == 2
    assert facts(batch)["messaging.batch.message_count"] == 5


def test_drop_says_its_reason_and_a_failed_records_fate_takes_precedence() -> None:
    stage = TracedStage()
    trace = stage.observer.begin(batch_of(TRACED, TRACED, TRACED))
    trace.failing(1, ValueError("no"))
    trace.failing(2, ValueError("no"))

    trace.end(
        Outcomes(dropped={"too old": [0], "on_error: handler_error": [1]}), {1: "dropped", 2: "halted"}, ()
    )

    dropped, failed, halted = map(facts, stage.spans)
    assert (dropped["rsq.outcome"], dropped["rsq.drop.reason"]) == ("dropped", "too old")
    assert (failed["rsq.outcome"], failed["rsq.drop.reason"]) == ("dropped", "on_error: handler_error")
    assert (halted["rsq.outcome"], halted["rsq.settled"]) == ("unsettled", False)
    (batch,) = stage.batches
    assert (facts(batch)["rsq.committed"], facts(batch)["rsq.fenced"]) == (2, 0)


def test_latency_is_measured_of_records_that_have_left_the_pipeline_here() -> None:
    stage = TracedStage()
    latencies: list[float] = []
    stage.tally.latency = lambda seconds, sink: latencies.append(seconds)
    entered = {**TRACED, "tracestate": "rsq=1700000000000"}
    trace = stage.observer.begin(batch_of(entered, entered, entered, entered, TRACED))
    trace.failing(3, ValueError("no"))

    trace.end(Outcomes(dropped={"why": [1]}, done=[0, 2, 4]), {3: "dead-lettered"}, {2})

    assert len(latencies) == 1  # of the first: the others are dropped, lost, dead, or of an unknown age
    assert latencies[0] > 0
    assert facts(stage.spans[0])["rsq.outcome"] == "emitted"


def test_failing_record_starts_a_trace_unless_none_are_wanted() -> None:
    for sample, traced in (("1%", True), ("none", False)):
        stage = TracedStage(sample)
        trace = stage.observer.begin(batch_of(NONE, NONE))

        failed = trace.failing(1, ValueError("no\x00good"))
        end(trace, dispositions={1: "retried"})

        assert (read(failed) is not None) is traced
        assert [facts(span)["error.type"] for span in stage.spans] == ["ValueError"] * traced


def test_record_that_fails_twice_in_one_batch_has_one_span() -> None:
    stage = TracedStage()
    trace = stage.observer.begin(batch_of(NONE))

    first = trace.failing(0, ValueError("no"))

    assert trace.failing(0, ValueError("no")) == first
    end(trace, dispositions={0: "retried"})
    assert len(stage.spans) == 1


@pytest.mark.parametrize("kept", [True, False], ids=["parent-kept", "parent-left-out"])
def test_replayed_record_links_to_its_old_trace_once(kept: bool) -> None:
    stage = TracedStage()
    parent = TRACED if kept else {}

    trace = stage.observer.begin(batch_of({"rsq-replay-link": PARENT, **parent}, stream=AGAIN))
    end(trace)

    (span,) = stage.spans
    assert span.parent is None
    old = [link for link in span.links if (link.attributes or {}).get("rsq.link") == "replay"]
    assert [f"{link.context.trace_id:032x}" for link in old] == [TRACE]
    assert "rsq-replay-link" not in trace.batch.headers[0]


def test_replay_link_that_the_stage_did_not_write_itself_is_not_believed() -> None:
    stage = TracedStage()

    trace = stage.observer.begin(batch_of({"rsq-replay-link": PARENT}, {"rsq-replay-link": PARENT, **TRACED}))
    end(trace)

    (span,) = stage.spans
    assert span.parent is not None
    assert [dict(link.attributes or {}) for link in span.links] == [{"rsq.link": "batch"}]


def test_state_that_cannot_be_passed_on_is_left_out() -> None:
    trace = TracedStage().observer.begin(batch_of({**TRACED, "tracestate": "x=" + "1" * 600}))

    assert trace.batch.headers[0].keys() == {"traceparent"}


def test_batch_that_has_ended_is_let_go() -> None:
    stage = TracedStage()
    trace = stage.observer.begin(batch_of(TRACED))
    gone = weakref.ref(trace)

    end(trace)
    del trace
    gc.collect()

    assert gone() is None
