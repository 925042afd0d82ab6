"""How soon the runner looks at the pipeline again."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.state.look_period import ENDING_PERIOD, MOVING_PERIOD, RESTING_PERIOD, LookPeriod


def test_it_looks_less_and_less_often_at_a_pipeline_that_does_not_move() -> None:
    period = LookPeriod()

    found = [period.after(0.001, moved=False, ending=False) for _ in range(6)]

    assert found == pytest.approx([0.2, 0.4, 0.8, RESTING_PERIOD, RESTING_PERIOD, RESTING_PERIOD])
    assert period.is_resting


def test_it_looks_often_again_once_something_has_moved() -> None:
    period = LookPeriod()
    for _ in range(6):
        period.after(0.001, moved=False, ending=False)

    assert period.after(0.001, moved=True, ending=False) == MOVING_PERIOD
    assert not period.is_resting


def test_it_looks_most_often_when_all_sources_have_ended() -> None:
    assert LookPeriod().after(0.001, moved=True, ending=True) == ENDING_PERIOD


def test_looks_that_take_long_take_no_more_than_a_tenth_of_the_time() -> None:
    period = LookPeriod()

    assert period.after(0.005, moved=True, ending=True) == pytest.approx(0.05)
    assert period.after(0.5, moved=True, ending=True) == MOVING_PERIOD


def test_it_does_not_rest_while_the_end_may_come() -> None:
    period = LookPeriod()

    found = [period.after(0.001, moved=False, ending=True) for _ in range(6)]

    assert found == [MOVING_PERIOD] * 6
