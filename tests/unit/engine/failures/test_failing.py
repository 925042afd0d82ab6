"""What becomes of records that fail: another attempt, a dead letter, a drop, or the end of the run."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from rsq_pipe.engine.failures.failing import reason_of
from rsq_pipe.errors import (
    EvaluationError,
    HandlerContractError,
    HandlerError,
    HandlerTimeoutError,
    MissingFieldError,
    RecordInvalidError,
)
from rsq_pipe.model.outcome import MAX_CHILDREN, Emit, Failure, Outcome, Reject, Retry
from rsq_pipe.spec.graph import Stage
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.settlement import Part, RetryAt
from rsq_pipe.streams.wire import is_whole
from tests.unit.engine.given import (
    JSON,
    counts,
    drops,
    entry,
    failed_before,
    fields,
    pack,
    part_of,
    planned,
    written,
)
from tests.unit.engine.stages import POLICY, stage

FINAL = Failure(ValueError("x"), retryable=False)


async def ended(outcome: Outcome, of: Stage | None = None, on: RawEntry | None = None) -> Part:
    """The one part of a plan for one record."""
    came = on or entry(deliveries=2)
    only = part_of(await planned(of or stage(), [came], [outcome]))
    (entry_of,) = only.entries
    assert (entry_of.stream, entry_of.id, entry_of.deliveries) == (came.stream, came.id, came.deliveries)
    assert len(only.retries) + len(only.dead) <= 1
    return only


async def retried(outcome: Outcome, on: RawEntry | None = None) -> RetryAt:
    (retry,) = (await ended(outcome, on=on)).retries
    return retry


async def dead_letter(
    outcome: Outcome, of: Stage | None = None, on: RawEntry | None = None
) -> dict[str, str]:
    """The fields of the one dead letter."""
    only = await ended(outcome, of, on)
    assert not only.outputs
    (letter,) = only.dead
    assert letter.stream == f"{{orders}}:{(of or stage()).name}:dlq"
    return fields(letter.fields)


# Retries


@pytest.mark.parametrize(("failed", "pause"), [(0, 200), (1, 400)])
async def test_a_failure_is_put_off_with_its_attempt_counted(failed: int, pause: int) -> None:
    on = failed_before(1, failed, traceparent="00-a-b-01")

    retry = await retried(Failure(ValueError("x")), on)

    assert (retry.key, retry.delay) == ("{orders}:price:retry", pause)
    assert fields(retry.fields) == {
        "data": '{"n":1}',
        "rsq-rid": "read:1",
        "traceparent": "00-a-b-01",
        "rsq-attempts": str(failed + 1),
    }


async def test_a_retry_of_a_single_entry_carries_the_bytes_as_they_came() -> None:
    raw = b'{ "n" : 1.10 }'

    assert (await retried(Failure(ValueError("x")), entry(data=raw))).fields[:2] == ["data", raw]


async def test_a_retry_of_a_packed_record_is_that_record_alone() -> None:
    came = pack(1, [1, 2, 3], {1: {"currency": "EUR", "rsq-dlq-reason": "timeout"}})

    plan = await planned(stage(), [came], [{"n": 1}, Failure(ValueError("x")), {"n": 3}])

    (retry,) = part_of(plan).retries
    assert fields(retry.fields) == {
        "data": '{"n":2}',
        "rsq-rid": "read:2",
        "currency": "EUR",
        "rsq-dlq-reason": "timeout",
        "rsq-attempts": "1",
    }
    assert counts(plan) == {"in": 3, "out": 2, "retried": 1}


async def test_retries_of_equal_records_are_told_apart_even_if_they_have_one_id() -> None:
    twins = await planned(stage(), [pack(1, [1, 1])], [Failure(ValueError("x"))] * 2)
    others = await planned(stage(), [entry(2), entry(3)], [Failure(ValueError("x"))] * 2)

    origins = {retry.origin for plan in (twins, others) for retry in part_of(plan).retries}
    assert len(origins) == 4


async def test_retry_and_failure_count_attempts_of_this_stage_alone() -> None:
    """A header from elsewhere is not believed; one of this stage that is not a number is not an attempt."""
    for on in (
        failed_before(1, 2, stream="{orders}:read"),
        failed_before(1, "many"),
        failed_before(1, "1" * 10),
    ):
        assert fields((await retried(Failure(ValueError("x")), on)).fields)["rsq-attempts"] == "1"


@pytest.mark.parametrize(("after", "pause"), [(None, 200), (0, 0), (1.5, 1500), ("2m", 120_000)])
async def test_retry_waits_as_long_as_it_says_or_as_the_backoff_says(after: Any, pause: int) -> None:
    assert (await retried(Retry(after=after))).delay == pause


async def test_retry_counts_as_an_attempt() -> None:
    plan = await planned(stage(), [failed_before(1, 2)], [Retry(reason="the shop is closed")])

    (letter,) = part_of(plan).dead
    assert fields(letter.fields)["rsq-dlq-error"] == "HandlerError: the shop is closed"
    assert [str(failure.error) for failure in plan.failures] == ["the shop is closed"]


async def test_a_retry_that_says_nothing_says_that_it_was_asked_for() -> None:
    letter = await dead_letter(Retry(), on=failed_before(1, 2))

    assert letter["rsq-dlq-error"] == "HandlerError: the handler asked for a retry"


async def test_a_retry_at_no_time_is_a_dead_letter() -> None:
    assert (await dead_letter(Retry(after="soon")))["rsq-dlq-reason"] == "handler_error"


async def test_a_retry_is_no_failure_for_the_log() -> None:
    assert (await planned(stage(), [entry()], [Failure(ValueError("x"))])).failures == []


# Dead letters


async def test_the_last_attempt_becomes_a_dead_letter() -> None:
    on = failed_before(1, 2, deliveries=2)

    letter = await dead_letter(Failure(ValueError("no such product")), on=on)

    assert {
        name: text for name, text in letter.items() if name not in {"rsq-dlq-at", "rsq-dlq-traceback"}
    } == {
        "data": '{"n":1}',
        "rsq-rid": "read:1",
        "rsq-attempts": "2",
        "rsq-dlq-reason": "handler_error",
        "rsq-dlq-error": "ValueError: no such product",
        "rsq-dlq-stage": "price",
        "rsq-dlq-attempts": "3",
        "rsq-dlq-entry": "{orders}:price:again/1-0",
    }


async def test_with_one_attempt_there_is_no_retry() -> None:
    at = stage(retry=replace(POLICY, attempts=1))

    assert (await dead_letter(Failure(ValueError("x")), of=at))["rsq-dlq-attempts"] == "1"


async def test_a_failure_that_can_only_fail_again_is_not_retried() -> None:
    letter = await dead_letter(Failure(HandlerContractError("returned a str"), retryable=False))

    assert (letter["rsq-dlq-reason"], letter["rsq-dlq-attempts"]) == ("contract", "1")


async def test_reject_is_a_dead_letter_at_once_with_its_reason() -> None:
    plan = await planned(stage(), [entry()], [Reject("not ours")])

    (letter,) = part_of(plan).dead
    why = fields(letter.fields)
    assert (why["rsq-dlq-reason"], why["rsq-dlq-error"], why["rsq-dlq-attempts"]) == (
        *("rejected", "not ours"),
        "1",
    )
    assert [failure.error for failure in plan.failures] == ["not ours"]
    assert counts(plan) == {"in": 1, "dead": 1}


@pytest.mark.parametrize("on_error", ["drop", "stop"])
async def test_reject_is_a_dead_letter_whatever_becomes_of_failures(on_error: Any) -> None:
    plan = await planned(stage(on_error=on_error), [entry()], [Reject("not ours")])

    assert (len(part_of(plan).dead), plan.halt, plan.halted) == (1, None, frozenset())
    assert [failure.on_error for failure in plan.failures] == ["dlq"]


@pytest.mark.parametrize(
    "outcome", [{"n": object()}, Emit({"n": object()}), [{"n": 1}, {"n": object()}]], ids=repr
)
async def test_what_cannot_be_encoded_is_a_dead_letter_with_the_bytes_that_came(outcome: Outcome) -> None:
    letter = await dead_letter(outcome, on=entry(data=b'{ "n":1}'))

    assert letter["data"] == '{ "n":1}'
    assert (letter["rsq-dlq-reason"], letter["rsq-dlq-attempts"]) == ("not_encodable", "1")


@pytest.mark.parametrize(
    "outcome",
    [
        Emit({"n": 1}, to="larg"),
        Emit({"n": 2}, headers={"rsq-rid": "7"}),
        [{"n": 1}] * (MAX_CHILDREN + 1),
    ],
    ids=["port", "header", "children"],
)
async def test_what_a_handler_may_not_return_is_a_dead_letter_for_that(outcome: Outcome) -> None:
    assert (await dead_letter(outcome))["rsq-dlq-reason"] == "contract"


async def test_the_dead_letter_of_a_packed_record_is_that_record_encoded_anew() -> None:
    raw = b'[["n","text"],[[1,"a"],[2,"\\u00e4"]],"read:",["1","2"],{}]'
    came = RawEntry("{orders}:read", "1-0", [b"rsq-pack", b"2", b"data", raw], 1)

    plan = await planned(stage(), [came], [{"n": 1}, FINAL])

    (letter,) = part_of(plan).dead
    assert written(letter)[1] == {"n": 2, "text": "ä"}
    assert letter.fields[1] == JSON.encode({"n": 2, "text": "ä"})
    assert fields(letter.fields)["rsq-dlq-entry"] == "{orders}:read/1-0"


async def test_a_replayed_record_that_fails_again_keeps_the_link_to_its_first_trace() -> None:
    on = entry(1, stream="{orders}:price:again", rsq_replay_link="00-x", rsq_attempts="1")

    assert fields((await retried(Failure(ValueError("x")), on)).fields)["rsq-replay-link"] == "00-x"


async def test_secrets_in_an_error_are_masked() -> None:
    letter = await dead_letter(Failure(ValueError("no redis://jo:hunter2@cache/0"), retryable=False))

    assert "hunter2" not in str(letter)
    assert letter["rsq-dlq-error"] == "ValueError: no redis://jo:***@cache/0"


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


# Where failures are dropped


async def test_on_error_drop_drops_and_counts() -> None:
    plan = await planned(stage(on_error="drop"), [entry()], [FINAL])

    assert (drops(plan), counts(plan)) == ({"on_error: handler_error": 1}, {"in": 1, "dropped": 1})
    assert not part_of(plan).dead
    assert [(failure.stage, failure.on_error, failure.rid) for failure in plan.failures] == [
        ("price", "drop", "read:1")
    ]


async def test_on_error_drop_retries_first() -> None:
    assert len((await ended(Failure(ValueError("x")), of=stage(on_error="drop"))).retries) == 1


async def test_on_error_drop_counts_failures_beside_the_drops_of_the_handler() -> None:
    late = Failure(HandlerTimeoutError("late"), retryable=False)

    plan = await planned(stage(on_error="drop"), [pack(1, range(5))], [None, FINAL, late, FINAL, {"n": 5}])

    assert drops(plan) == {"returned None": 1, "on_error: handler_error": 2, "on_error: timeout": 1}
    assert counts(plan) == {"in": 5, "out": 1, "dropped": 4}


# Where the run stops


async def test_on_error_stop_leaves_the_entry_pending_and_names_the_record() -> None:
    at = stage(on_error="stop")

    plan = await planned(at, [entry(1), entry(2), entry(3)], [{"n": 1}, FINAL, {"n": 3}])

    assert [one.id for one in part_of(plan).entries] == ["1-0", "3-0"]
    assert (plan.halted, counts(plan)) == (frozenset((1,)), {"in": 2, "out": 2})
    assert isinstance(plan.halt, HandlerError)
    assert plan.halt.__cause__ is FINAL.error
    assert str(plan.halt) == (
        "stage 'price' stopped at record 'read:2' (entry 2-0 of {orders}:read): ValueError: x. "
        "It stays pending: fix the handler or what it needs, and run again"
    )


async def test_on_error_stop_leaves_a_pack_pending_whole() -> None:
    at = stage(on_error="stop")

    plan = await planned(at, [pack(1, [1, 2, 3]), pack(2, [4, 5])], [{}, FINAL, {}, {}, {}])

    assert [one.id for one in part_of(plan).entries] == ["2-0"]
    assert counts(plan) == {"in": 2, "out": 2}
    assert plan.settlement.counts["{orders}:meta"]["settled:price:{orders}:read"] == 2
    assert "record 'read:2' (entry 1-0 of {orders}:read)" in str(plan.halt)


async def test_on_error_stop_of_all_settles_nothing() -> None:
    plan = await planned(stage(on_error="stop"), [entry()], [FINAL])

    assert plan.settlement.parts == []
    assert not is_whole(plan.settlement)
    assert plan.halt is not None


async def test_on_error_stop_names_the_first_of_several() -> None:
    failures = [Failure(ValueError(text), retryable=False) for text in "ab"]

    plan = await planned(stage(on_error="stop"), [entry(1), entry(2)], failures)

    assert "ValueError: a" in str(plan.halt)
    assert len(plan.failures) == 2


async def test_on_error_stop_retries_first() -> None:
    plan = await planned(stage(on_error="stop"), [entry()], [Failure(ValueError("x"))])

    assert (plan.halt, len(part_of(plan).retries)) == (None, 1)


async def test_the_jitter_of_retries_is_within_its_bounds() -> None:
    at = stage(retry=replace(POLICY, jitter=0.5))
    numbers = range(200)

    plan = await planned(at, [pack(1, numbers)], [Failure(ValueError("x"))] * 200)

    delays = [retry.delay for retry in part_of(plan).retries]
    assert min(delays) >= 100
    assert max(delays) <= 300
    assert len(set(delays)) > 20
