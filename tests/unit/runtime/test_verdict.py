"""What becomes of each outcome."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from rsq_pipe.errors import (
    EvaluationError,
    HandlerContractError,
    HandlerError,
    HandlerTimeoutError,
    MissingFieldError,
    RecordInvalidError,
)
from rsq_pipe.runtime.verdict import MAX_CHILDREN, Judge, Verdict, reason_of
from rsq_pipe.spec.graph import Stage, StreamRef
from rsq_pipe.model.outcome import Drop, Emit, Failure, Outcome, Reject, Retry
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.serializers import JsonSerializer
from rsq_pipe.streams.settlement import Entry, Output, Part
from tests.unit.runtime.given import POLICY, graph, message, source, stage

ENTRY = Entry("{orders}:read", "1-0", 2)


def verdict(outcome: Outcome, of: Stage | None = None, on: StreamMessage | None = None) -> Verdict:
    at = of or stage()
    return Judge(graph(source(), at), at, JsonSerializer(), random.Random(1)).decide(
        [on or message()], [outcome]
    )


def part(outcome: Outcome, of: Stage | None = None, on: StreamMessage | None = None) -> Part:
    """The one part of a verdict on one message."""
    (only,) = verdict(outcome, of, on).settlement.parts
    assert list(only.entries) == [ENTRY if on is None else Entry(on.stream, on.id, on.delivery_count)]
    return only


def headers(fields: Sequence[str | bytes]) -> dict[str, str]:
    texts = [item.decode() if isinstance(item, bytes) else item for item in fields]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def written(output: Output) -> tuple[str, Any, Mapping[str, str]]:
    """Stream, record and headers of an output."""
    rest = headers(output.fields)
    return output.stream, json.loads(rest.pop("data")), rest


def test_a_record_goes_to_the_stages_stream_with_its_headers() -> None:
    only = part({"n": 2}, on=message(traceparent="00-a-b-01"))

    assert [written(output) for output in only.outputs] == [
        ("{orders}:price", {"n": 2}, {"rsq-rid": "read:1", "traceparent": "00-a-b-01"})
    ]
    assert (only.dropped, only.retries, only.dead) == (0, (), ())


def test_emit_chooses_the_port_and_adds_headers() -> None:
    only = part(Emit({"n": 2}, to="large", headers={"currency": "EUR"}), of=stage(ports=("large",)))

    assert [written(output) for output in only.outputs] == [
        ("{orders}:price.large", {"n": 2}, {"rsq-rid": "read:1", "currency": "EUR"})
    ]


def test_emit_without_headers_leaves_those_of_the_message() -> None:
    assert written(part(Emit({"n": 2}), on=message(a="1")).outputs[0])[2] == {"rsq-rid": "read:1", "a": "1"}


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (None, "returned None"),
        (Drop(), "no reason given"),
        (Drop("too old"), "too old"),
        (Drop("from redis://jo:hunter2@cache/0"), "from redis://jo:***@cache/0"),
        ([], "returned no records"),
        ((), "returned no records"),
    ],
)
def test_nothing_returned_is_one_drop_with_its_reason(outcome: Outcome, reason: str) -> None:
    only = part(outcome)

    assert (only.dropped, only.reason) == (1, reason)
    assert not only.outputs
    assert not only.dead


@pytest.mark.parametrize("outcome", [None, {"sent": True}, [], [{"n": 1}]])
def test_what_a_stage_without_an_output_returns_from_counts_as_delivered(outcome: Outcome) -> None:
    only = part(outcome, of=stage(outputs={}))

    assert (only.delivered, only.dropped, only.outputs, only.dead) == (1, 0, (), ())


def test_a_stage_without_an_output_still_drops_rejects_and_emits_to_ports() -> None:
    ends = stage(outputs={"odd": StreamRef("price.odd")})

    assert part(Drop("sent before"), of=ends).reason == "sent before"
    assert len(part(Reject("no address"), of=ends).dead) == 1
    assert [written(out)[0] for out in part(Emit({"n": 1}, to="odd"), of=ends).outputs] == [
        "{orders}:price.odd"
    ]


def test_children_get_record_ids_of_their_own() -> None:
    only = part([{"n": 1}, Emit({"n": 2}, to="large"), {"n": 3}], of=stage(ports=("large",)))

    found = [(stream, record["n"], given["rsq-rid"]) for stream, record, given in map(written, only.outputs)]
    assert found == [
        ("{orders}:price", 1, "read:1.0"),
        ("{orders}:price.large", 2, "read:1.1"),
        ("{orders}:price", 3, "read:1.2"),
    ]
    assert only.dropped == 0


def test_a_record_that_becomes_more_than_one_step_can_write_is_a_dead_letter() -> None:
    only = part([{"n": 1}] * (MAX_CHILDREN + 1))

    assert (only.outputs, len(only.dead)) == ((), 1)
    assert written(only.dead[0])[2]["rsq-dlq-reason"] == "contract"


def test_the_link_of_a_replay_ends_with_the_stage_it_was_replayed_to() -> None:
    replayed = message()
    replayed.headers = {**replayed.headers, "rsq-replay-link": f"00-{'1' * 32}-{'2' * 16}-01"}

    assert "rsq-replay-link" not in written(part({"n": 1}, on=replayed).outputs[0])[2]


def test_grandchildren_go_on_counting() -> None:
    only = part([{"n": 1}], on=replace(message(), headers={"rsq-rid": "read:1.4"}))

    assert written(only.outputs[0])[2]["rsq-rid"] == "read:1.4.0"


def test_a_record_from_outside_is_named_after_its_entry() -> None:
    stranger = StreamMessage("7-0", {"n": 1}, 1, {"colour": "red"}, "clicks", b'{"n":1}')

    assert written(part({"n": 1}, on=stranger).outputs[0])[2] == {"rsq-rid": "clicks:7-0", "colour": "red"}
    assert written(part([{"n": 1}], on=stranger).outputs[0])[2]["rsq-rid"] == "clicks:7-0.0"


def test_the_headers_of_an_old_dead_letter_and_of_failed_attempts_end_here() -> None:
    old = message(attempts=2, currency="EUR")
    old.headers = {**old.headers, "rsq-dlq-reason": "timeout", "rsq-dlq-stage": "validate"}

    assert written(part({"n": 1}, on=old).outputs[0])[2] == {"rsq-rid": "read:1", "currency": "EUR"}


def test_each_entry_of_a_batch_has_a_part_of_its_own() -> None:
    at = stage()
    batch = [message(number) for number in (1, 2, 3)]

    found = Judge(graph(source(), at), at, JsonSerializer()).decide(batch, [{"n": 1}, None, Reject("no")])

    kinds = [(p.entries[0].id, len(p.outputs), p.dropped, len(p.dead)) for p in found.settlement.parts]
    assert kinds == [("1-0", 1, 0, 0), ("2-0", 0, 1, 0), ("3-0", 0, 0, 1)]


# Retries


@pytest.mark.parametrize(("failed", "pause"), [("0", 200), ("1", 400)])
def test_a_failure_is_put_off_with_its_attempt_counted(failed: str, pause: int) -> None:
    only = part(Failure(ValueError("x")), on=message(attempts=failed, traceparent="00-a-b-01"))

    (retry,) = only.retries
    assert (retry.key, retry.delay, retry.origin) == ("{orders}:price:retry", pause, "{orders}:read/1-0")
    assert headers(retry.fields) == {
        "data": '{"n":1}',
        "rsq-rid": "read:1",
        "traceparent": "00-a-b-01",
        "rsq-attempts": str(int(failed) + 1),
    }
    assert not only.dead


def test_a_retry_carries_the_bytes_as_they_came() -> None:
    raw = b'{ "n" : 1.10 }'

    (retry,) = part(Failure(ValueError("x")), on=message(raw=raw)).retries

    assert raw in retry.fields


def test_the_last_attempt_becomes_a_dead_letter() -> None:
    only = part(Failure(ValueError("no such product")), on=message(attempts=2))

    assert not only.retries
    stream, _, why = written(only.dead[0])
    assert stream == "{orders}:price:dlq"
    assert {name: why[name] for name in why if name not in {"rsq-dlq-at", "rsq-dlq-traceback"}} == {
        "rsq-rid": "read:1",
        "rsq-attempts": "2",
        "rsq-dlq-reason": "handler_error",
        "rsq-dlq-error": "ValueError: no such product",
        "rsq-dlq-stage": "price",
        "rsq-dlq-attempts": "3",
        "rsq-dlq-entry": "{orders}:read/1-0",
    }


def test_with_one_attempt_there_is_no_retry() -> None:
    only = part(Failure(ValueError("x")), of=stage(retry=replace(POLICY, attempts=1)))

    assert (len(only.dead), len(only.retries)) == (1, 0)


def test_a_failure_that_can_only_fail_again_is_not_retried() -> None:
    only = part(Failure(HandlerContractError("returned a str"), retryable=False))

    assert written(only.dead[0])[2]["rsq-dlq-reason"] == "contract"
    assert written(only.dead[0])[2]["rsq-dlq-attempts"] == "1"


@pytest.mark.parametrize(("after", "pause"), [(None, 200), (0, 0), (1.5, 1500), ("2m", 120_000)])
def test_retry_waits_as_long_as_it_says_or_as_the_backoff_says(after: Any, pause: int) -> None:
    (retry,) = part(Retry(after=after)).retries

    assert retry.delay == pause


def test_retry_counts_as_an_attempt() -> None:
    found = verdict(Retry(reason="the shop is closed"), on=message(attempts=2))

    (only,) = found.settlement.parts
    assert written(only.dead[0])[2]["rsq-dlq-error"] == "HandlerError: the shop is closed"
    assert [str(failure) for failure in found.failures] == ["the shop is closed"]


def test_a_retry_at_no_time_is_a_dead_letter() -> None:
    only = part(Retry(after="soon"))

    assert len(only.dead) == 1
    assert not only.retries


# Failures for good


def test_reject_is_a_dead_letter_at_once_with_its_reason() -> None:
    found = verdict(Reject("not ours"))

    (only,) = found.settlement.parts
    why = written(only.dead[0])[2]
    assert (why["rsq-dlq-reason"], why["rsq-dlq-error"], why["rsq-dlq-attempts"]) == (
        "rejected",
        "not ours",
        "1",
    )
    assert found.failures == ["not ours"]


@pytest.mark.parametrize("on_error", ["drop", "stop"])
def test_reject_is_a_dead_letter_whatever_becomes_of_failures(on_error: Any) -> None:
    assert len(part(Reject("not ours"), of=stage(on_error=on_error)).dead) == 1


@pytest.mark.parametrize(
    "outcome", [{"n": object()}, Emit({"n": object()}), [{"n": 1}, {"n": object()}]], ids=repr
)
def test_what_cannot_be_encoded_is_a_dead_letter_with_the_bytes_that_came(outcome: Outcome) -> None:
    only = part(outcome, on=message(raw=b'{"n":1}'))

    assert not only.outputs
    assert written(only.dead[0])[1:][0] == {"n": 1}
    assert written(only.dead[0])[2]["rsq-dlq-reason"] == "not_encodable"


def test_a_port_the_stage_does_not_have_is_a_dead_letter_that_names_its_ports() -> None:
    only = part(Emit({"n": 1}, to="larg"), of=stage(ports=("large", "small")))

    error = written(only.dead[0])[2]["rsq-dlq-error"]
    assert "'larg'" in error
    assert "'large', 'small'" in error


def test_a_stage_with_ports_alone_has_no_output_without_one() -> None:
    routing = stage("route", verb="route", ports=("large",))
    del routing.outputs[""]  # type: ignore[attr-defined]

    assert "an output without a port" in written(part({"n": 1}, of=routing).dead[0])[2]["rsq-dlq-error"]


def test_on_error_drop_drops_and_counts() -> None:
    only = part(Failure(ValueError("x"), retryable=False), of=stage(on_error="drop"))

    assert (only.dropped, only.reason, len(only.dead)) == (1, "on_error: handler_error", 0)


def test_on_error_drop_retries_first() -> None:
    assert len(part(Failure(ValueError("x")), of=stage(on_error="drop")).retries) == 1


def test_on_error_stop_leaves_the_record_pending_and_names_it() -> None:
    at = stage(on_error="stop")
    judge = Judge(graph(source(), at), at, JsonSerializer())

    found = judge.decide(
        [message(1), message(2), message(3)],
        [{"n": 1}, Failure(ValueError("x"), retryable=False), {"n": 3}],
    )

    assert [p.entries[0].id for p in found.settlement.parts] == ["1-0", "3-0"]
    assert isinstance(found.halt, HandlerError)
    assert "stage 'price' stopped at record 'read:2' (entry 2-0 of {orders}:read)" in str(found.halt)
    assert "ValueError: x" in str(found.halt)


def test_on_error_stop_names_the_first_of_several() -> None:
    at = stage(on_error="stop")
    judge = Judge(graph(source(), at), at, JsonSerializer())
    failures = [Failure(ValueError(text), retryable=False) for text in "ab"]

    found = judge.decide([message(1), message(2)], failures)

    assert "ValueError: a" in str(found.halt)
    assert len(found.failures) == 2


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (HandlerTimeoutError("late"), "timeout"),
        (HandlerContractError("odd"), "contract"),
        (RecordInvalidError("bad"), "invalid_record"),
        (MissingFieldError("none"), "expression_error"),
        (EvaluationError("x"), "expression_error"),
        (HandlerError("x"), "handler_error"),
        (KeyError("x"), "handler_error"),
    ],
)
def test_the_reason_names_the_cause(error: BaseException, word: str) -> None:
    assert reason_of(error) == word


def test_a_header_from_outside_that_is_no_number_counts_as_no_attempt() -> None:
    only = part(Failure(ValueError("x")), on=message(attempts="many"))

    assert headers(only.retries[0].fields)["rsq-attempts"] == "1"


@pytest.mark.parametrize("name", ["data", "rsq-rid", "rsq-attempts", "rsq-dlq-reason", "rsq-new"])
def test_a_handler_cannot_set_a_header_that_is_the_systems(name: str) -> None:
    only = part(Emit({"n": 2}, headers={name: "7"}))

    assert written(only.dead[0])[2]["rsq-dlq-reason"] == "contract"
    assert repr(name) in written(only.dead[0])[2]["rsq-dlq-error"]


def test_a_handler_may_hand_on_the_headers_it_got_and_add_its_own() -> None:
    came = message(attempts=2, currency="EUR")

    only = part(Emit({"n": 2}, headers={**came.headers, "attempts": "9", "rid": "", "dlq-x": "1"}), on=came)

    assert written(only.outputs[0])[2] == {
        "rsq-rid": "read:1",
        "currency": "EUR",
        "attempts": "9",
        "rid": "",
        "dlq-x": "1",
    }
