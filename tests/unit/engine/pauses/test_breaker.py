"""A stage pauses where many fail in a row for one cause, tries one after growing pauses, and goes on."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from rsq_pipe.engine.pauses.breaker import Breaker, Cause, State, cause_of
from rsq_pipe.errors import (
    EndpointUnavailableError,
    EvaluationError,
    HandlerContractError,
    HandlerTimeoutError,
    RecordInvalidError,
    TableUnavailableError,
)
from rsq_pipe.model.outcome import Failure, Reject, Retry
from rsq_pipe.spec.graph import BreakerPolicy
from rsq_pipe.spec.models import Breaker as BreakerSettings
from rsq_pipe.streams.backoff import FIRST
from tests.support.clock import Clock

DOWN = Cause("shop.Down", "Down: no stock service")
OTHER = Cause("shop.Other", "Other: something else")
SILENT = Cause("", "ConnectionRefusedError: refused")
AWAY = Cause("", "it answers 503", certain=True)
CUT = Cause("", "Connection reset by peer", broke=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(BreakerPolicy(failures=10, first=1.0, max=5.0), clock)


def rids(start: int, count: int) -> list[str]:
    return [f"read:{n}" for n in range(start, start + count)]


def all_failed(count: int, cause: Cause | None = DOWN) -> Mapping[int, Cause | None]:
    return dict.fromkeys(range(count), cause)


def test_a_breaker_opens_when_as_many_fail_in_a_row_as_it_says_and_excuses_them(breaker: Breaker) -> None:
    assert breaker.note(rids(0, 10), all_failed(10)) == frozenset(range(10))

    assert (breaker.state, breaker.why, breaker.since) == (State.OPEN, DOWN.text, 100.0)


def test_one_failure_fewer_does_not_open_the_breaker_and_none_is_excused(breaker: Breaker) -> None:
    assert breaker.note(rids(0, 9), all_failed(9)) == frozenset()

    assert not breaker.is_open


def test_a_row_goes_on_from_batch_to_batch_and_those_of_the_last_are_excused(breaker: Breaker) -> None:
    assert breaker.note(rids(0, 6), all_failed(6)) == frozenset()
    assert breaker.note(rids(6, 4), all_failed(4)) == frozenset(range(4))

    assert breaker.is_open


def test_a_record_that_works_ends_a_row(breaker: Breaker) -> None:
    breaker.note(rids(0, 9), all_failed(9))
    breaker.note(rids(9, 1), {})
    breaker.note(rids(10, 9), all_failed(9))

    assert not breaker.is_open


def test_another_type_of_error_begins_another_row(breaker: Breaker) -> None:
    breaker.note(rids(0, 9), all_failed(9))
    breaker.note(rids(9, 9), all_failed(9, OTHER))

    assert not breaker.is_open


def test_one_record_that_fails_again_and_again_never_opens_the_breaker(breaker: Breaker) -> None:
    for _ in range(50):
        assert breaker.note(["read:1"], all_failed(1)) == frozenset()

    assert not breaker.is_open


def test_failures_that_are_of_the_record_neither_open_it_nor_end_a_row(breaker: Breaker) -> None:
    assert breaker.note(rids(0, 500), all_failed(500, None)) == frozenset()
    assert not breaker.is_open

    mixed = {place: None if place % 2 else DOWN for place in range(20)}
    assert breaker.note(rids(500, 20), mixed) == frozenset(range(0, 20, 2))
    assert breaker.is_open


def test_where_nothing_answers_five_are_enough(breaker: Breaker) -> None:
    breaker.note(rids(0, 4), all_failed(4, SILENT))
    assert not breaker.is_open
    breaker.note(rids(4, 1), all_failed(1, SILENT))
    assert breaker.is_open


def test_a_lookup_whose_server_is_away_blames_no_record_however_few_and_however_often(
    breaker: Breaker, clock: Clock
) -> None:
    error = TableUnavailableError("the table does not answer")
    cause = cause_of(Failure(error))
    assert cause is not None

    for _ in range(3):
        assert breaker.note(["read:1"], {0: cause}) == {0}
        assert breaker.is_open
        clock.now = clock.now + 5
        breaker.wait()
        breaker.trial_succeeded()
        breaker.note(["read:2"], {})


def test_a_service_that_asks_for_a_longer_pause_is_given_it(breaker: Breaker, clock: Clock) -> None:
    cause = cause_of(Failure(EndpointUnavailableError("it answers 429", retry_after=120)))
    assert cause is not None

    assert breaker.note(["read:1"], {0: cause}) == {0}
    assert breaker.wait() == 120
    clock.now = clock.now + 120
    assert breaker.wait() == 0
    breaker.trial_failed(cause.text, 500)
    assert breaker.wait() == 500


def test_a_request_under_way_when_its_service_died_is_excused_once_wherever_it_stands_in_its_batch(
    breaker: Breaker,
) -> None:
    cut = cause_of(Failure(EndpointUnavailableError("it broke", certain=False, broke=True)))
    answered = cause_of(Failure(EndpointUnavailableError("it answers 500", certain=False)))
    refused = cause_of(Failure(EndpointUnavailableError("refused")))

    assert breaker.note(["read:1"], {0: cut}) == {0}
    assert not breaker.is_open
    assert breaker.note(["read:1"], {0: cut}) == frozenset()
    assert breaker.note(["read:2", "read:3", "read:4"], {0: answered, 1: cut}) == {1}
    assert breaker.note(["read:5", "read:6", "read:7"], {0: refused, 2: cut}) == {0, 2}


def test_an_outage_that_ended_within_the_batch_excuses_and_does_not_open_it(breaker: Breaker) -> None:
    failed = dict.fromkeys(range(100, 400), DOWN)

    assert breaker.note(rids(0, 500), failed) == frozenset(range(100, 400))
    assert not breaker.is_open


def test_nothing_may_be_tried_before_the_pause_is_over_and_then_by_one_alone(
    breaker: Breaker, clock: Clock
) -> None:
    breaker.note(rids(0, 10), all_failed(10))
    assert breaker.wait() == 1.0
    clock.now += 0.75
    assert breaker.wait() == 0.25
    clock.now += 0.25
    assert breaker.wait() == 0.0
    assert breaker.state is State.PROBING
    assert breaker.wait() > 0, "somebody else tries one"


def test_pauses_double_up_to_the_longest(breaker: Breaker, clock: Clock) -> None:
    breaker.note(rids(0, 10), all_failed(10))
    pauses = []
    for _ in range(5):
        pauses.append(breaker.wait())
        clock.now += pauses[-1]
        assert breaker.wait() == 0.0
        breaker.trial_failed("Down: still")
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert (breaker.why, breaker.since) == ("Down: still", 100.0)


def test_a_breaker_closes_when_the_record_works_and_begins_with_the_first_pause_again(
    breaker: Breaker, clock: Clock
) -> None:
    breaker.note(rids(0, 10), all_failed(10))
    clock.now += 1
    breaker.wait()
    breaker.trial_failed("Down: still")
    clock.now += 2
    breaker.wait()
    breaker.trial_succeeded()
    assert not breaker.is_open
    assert breaker.wait() == 0.0
    breaker.note(rids(10, 10), all_failed(10))
    assert breaker.wait() == 1.0


def test_the_first_pause_is_as_short_as_that_of_all_else_that_is_tried_again() -> None:
    assert BreakerPolicy().first == BreakerSettings().first == FIRST


def test_pauses_of_processes_that_failed_together_do_not_end_together(clock: Clock) -> None:
    pauses = set()
    for seed in range(20):
        breaker = Breaker(BreakerPolicy(first=0.1), clock, random.Random(seed))
        breaker.note(["read:1"], {0: AWAY})
        pauses.add(breaker.wait())

    assert len(pauses) > 15
    assert all(0.08 <= pause <= 0.12 for pause in pauses)


def test_what_fails_now_and_then_pauses_for_longer_each_time_but_never_for_as_long_as_an_outage(
    clock: Clock,
) -> None:
    breaker = Breaker(BreakerPolicy(first=0.1, max=60), clock)

    def paused(number: int) -> float:
        breaker.note([f"read:{number}"], {0: AWAY})
        pause = breaker.wait()
        clock.now += pause
        assert breaker.wait() == 0.0
        breaker.trial_succeeded()
        return round(pause, 6)

    assert [paused(number) for number in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    clock.now += 1.5
    assert paused(7) == 0.1


def test_a_record_without_blame_comes_back_as_the_pause_ends_and_others_once_all_processes_know(
    clock: Clock,
) -> None:
    breaker = Breaker(BreakerPolicy(first=0.1), clock)
    assert breaker.again_in(CUT) == 0.1
    breaker.note(["read:1"], {0: AWAY})

    assert breaker.again_in(AWAY) == breaker.pause == 0.1
    assert breaker.again_in(DOWN) == breaker.again_in(None) == 1.5
    clock.now += 0.1
    breaker.wait()
    breaker.trial_failed("Away: still", 120)
    assert breaker.again_in(AWAY) == 1.5, "it may be over before: whoever sees that takes it at once"


def test_a_record_that_told_nothing_lets_the_next_be_tried_at_once(breaker: Breaker, clock: Clock) -> None:
    breaker.note(rids(0, 10), all_failed(10))
    clock.now += 1
    breaker.wait()
    breaker.trial_abandoned()
    assert (breaker.state, breaker.wait()) == (State.OPEN, 0.0)


def test_what_other_workers_had_in_hand_when_it_opened_is_excused_too(breaker: Breaker) -> None:
    breaker.note(rids(0, 10), all_failed(10))

    assert breaker.note(rids(10, 3), all_failed(3, OTHER)) == frozenset(range(3))


def test_records_that_fail_again_once_the_stage_works_are_to_blame_and_do_not_open_it(
    breaker: Breaker, clock: Clock
) -> None:
    bad = rids(0, 30)
    assert len(breaker.note(bad, all_failed(30))) == 30
    clock.now += 1
    breaker.wait()
    breaker.trial_succeeded()

    assert breaker.note(bad, all_failed(30)) == frozenset()
    assert not breaker.is_open


def test_a_record_that_worked_after_all_may_be_excused_another_time(breaker: Breaker) -> None:
    breaker.note(rids(0, 11), all_failed(10))  # the last one works
    breaker.note(rids(0, 10), {})

    assert len(breaker.note(rids(0, 10), all_failed(10))) == 10


def test_a_stage_that_another_process_pauses_tries_one_record_first(breaker: Breaker) -> None:
    breaker.suspect("Down: over there")

    assert (breaker.is_open, breaker.why, breaker.wait()) == (True, "Down: over there", 0.0)
    breaker.trial_failed("Down: here, too")
    assert breaker.wait() == 1.0


def test_a_stage_without_records_while_another_process_pauses_it_has_paused_only_since_its_own_failure(
    breaker: Breaker, clock: Clock
) -> None:
    breaker.suspect("Down: over there")
    clock.now += 300  # the other works again since long, and this one was given nothing to try
    breaker.wait()
    breaker.trial_failed("Down: here")
    assert breaker.since == 400.0

    clock.now += 10
    breaker.wait()
    breaker.trial_failed("Down: still")
    assert breaker.since == 400.0, "it is the same pause"


def test_a_breaker_tries_now_what_another_process_has_seen_work(breaker: Breaker, clock: Clock) -> None:
    breaker.note(rids(0, 10), all_failed(10))
    breaker.try_now()
    assert (breaker.pause, breaker.wait()) == (0.0, 0.0)
    breaker.trial_failed("Down: still")
    assert breaker.wait() == 1.0


def test_a_result_that_comes_when_it_is_closed_by_now_changes_nothing(breaker: Breaker) -> None:
    breaker.trial_failed("Down")
    breaker.trial_abandoned()
    breaker.try_now()
    assert breaker.state is State.CLOSED


def wrapped(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "outcome",
    [
        Failure(HandlerContractError("returned 3", stage="price"), retryable=False),
        Failure(RecordInvalidError("no id", stage="price"), retryable=False),
        Failure(EvaluationError("1 / 0", stage="price"), retryable=False),
        Failure(ValueError("n")),
        Failure(KeyError("n")),
        Failure(TypeError("n")),
        Failure(ZeroDivisionError("n")),
        Failure(AttributeError("n")),
        Failure(RuntimeError("final"), retryable=False),
        Retry(),
        Reject("no"),
    ],
    ids=repr,
)
def test_what_is_of_the_record_or_asked_for_is_no_cause(outcome: Failure | Retry | Reject) -> None:
    assert cause_of(outcome) is None


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("refused"),
        ConnectionResetError("reset"),
        TimeoutError("late"),
        HandlerTimeoutError("late", stage="price", timeout=1.0),
        wrapped(RuntimeError("client"), ConnectionRefusedError("refused")),
        wrapped(ValueError("client"), wrapped(OSError("socket"), TimeoutError("late"))),
    ],
    ids=repr,
)
def test_all_by_which_nothing_answers_is_one_cause(error: BaseException) -> None:
    found = cause_of(Failure(error))
    assert found is not None
    assert found.kind == ""


def test_other_errors_are_one_cause_by_their_type() -> None:
    errors = RuntimeError("1"), RuntimeError("2"), OSError("3")
    assert [cause_of(Failure(error)) for error in errors] == [
        Cause("builtins.RuntimeError", "RuntimeError: 1"),
        Cause("builtins.RuntimeError", "RuntimeError: 2"),
        Cause("builtins.OSError", "OSError: 3"),
    ]


def test_errors_that_caused_each_other_are_looked_at_once() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert cause_of(Failure(first)) is not None


def test_one_call_that_failed_for_all_records_of_a_batch_counts_as_one(breaker: Breaker) -> None:
    breaker.note(rids(0, 4), all_failed(4, AWAY))

    assert (breaker.is_open, breaker.calls) == (True, 1)
    breaker.wait()
    breaker.trial_failed("it answers 503")
    assert breaker.calls == 2


def test_calls_that_failed_one_after_another_are_counted_each(breaker: Breaker) -> None:
    breaker.note(rids(0, 5), all_failed(5, SILENT))

    assert (breaker.is_open, breaker.calls) == (True, 5)
