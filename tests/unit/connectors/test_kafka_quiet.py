"""Why a partition of Kafka brings no messages: nobody answers, or a transaction holds them back."""

from __future__ import annotations

import pytest
from aiokafka.errors import KafkaConnectionError

from rsq_pipe.connectors.kafka.background import Trouble
from rsq_pipe.connectors.kafka.quiet import Quiet
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quiet(clock: Clock) -> Quiet:
    return Quiet(35.0, clock)


def test_a_broker_that_answers_with_nothing_is_not_away(quiet: Quiet, clock: Clock) -> None:
    old = Trouble(clock.now - 1, "gone", KafkaConnectionError("gone"))
    for second in range(60):
        clock.now += 1
        quiet.answered(second)
        assert quiet.why_away(old) == ""

    assert not quiet.is_lost


def test_what_the_client_has_logged_since_an_answer_is_the_reason_after_two_seconds(
    quiet: Quiet, clock: Clock
) -> None:
    clock.now += 1
    trouble = Trouble(clock.now, "Failed fetch messages from 1: gone", KafkaConnectionError("gone"))
    assert quiet.why_away(trouble) == ""

    clock.now += 1.5
    assert quiet.why_away(trouble) == "KafkaConnectionError: gone"
    assert quiet.why_away(Trouble(clock.now, "an odd error", None)) == "an odd error"
    assert quiet.why_away(None) == ""


def test_without_any_answer_the_client_is_lost_though_it_has_logged_nothing(
    quiet: Quiet, clock: Clock
) -> None:
    quiet.answered(1)
    clock.now += 36
    quiet.answered(1)
    quiet.answered(None)

    assert quiet.is_lost
    assert quiet.why_away(None) == "no broker has answered for 35 s"


def test_a_transaction_that_stays_open_is_named_with_how_much_it_holds_back(
    quiet: Quiet, clock: Clock
) -> None:
    assert quiet.why_held(3, 3, 7) == ""
    clock.now += 6

    assert "at offset 3 is still open, and holds back the 4 messages" in quiet.why_held(3, 3, 7)
    assert quiet.why_held(5, 5, 9) == ""  # another one, which has just begun


@pytest.mark.parametrize(
    ("position", "stable", "end"), [(7, 7, 7), (2, 3, 7), (3, -1, 7), (3, None, 7), (3, None, None)]
)
def test_messages_that_may_be_read_or_are_not_there_wait_for_nothing(
    quiet: Quiet, clock: Clock, position: int, stable: int | None, end: int | None
) -> None:
    quiet.why_held(position, stable, end)
    clock.now += 6

    assert quiet.why_held(position, stable, end) == ""
