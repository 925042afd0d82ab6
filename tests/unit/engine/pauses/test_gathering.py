"""How long a sink leaves off reading after a batch."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.pauses.gathering import FAST, TURN, Gathering

LARGE = 2_500


def after(rate: float, records: int = 100, *, took: float = 0.001) -> float:
    """The pause after the last of many such batches, a second long."""
    gathering, every = Gathering(), records / rate
    times = [100 + number * every for number in range(max(3, int(1 / every)))]
    return [gathering.pause(records, LARGE, began=began, now=began + took) for began in times][-1]


def test_where_records_come_fast_a_sink_waits_for_more_until_its_turn_is_over() -> None:
    assert after(4 * FAST, took=0.004) == pytest.approx(TURN - 0.004)


def test_the_records_of_all_sinks_count() -> None:
    gathering = Gathering()
    batches = [(100 + number / 500, number % 4) for number in range(1_000)]

    pauses = [gathering.pause(1 if other else 100, LARGE, began=at, now=at) for at, other in batches]

    assert pauses[-4:] == pytest.approx([TURN] * 4)


@pytest.mark.parametrize("records", [1, 10, 500])
def test_records_that_come_slowly_are_written_as_they_come(records: int) -> None:
    assert after(0.9 * FAST, records) == 0


def test_after_a_rest_the_first_batch_is_followed_at_once() -> None:
    gathering = Gathering()
    for number in range(1_000):
        gathering.pause(100, LARGE, began=100 + number / 1_000, now=100 + number / 1_000)

    assert gathering.pause(100, LARGE, began=160, now=160) == 0


def test_after_a_write_that_took_a_turn_the_next_batch_is_read_at_once() -> None:
    assert after(4 * FAST, 1_500, took=TURN) == 0


def test_gathering_waits_for_no_more_than_a_large_batch() -> None:
    assert after(20 * FAST) == pytest.approx(LARGE / (20 * FAST), rel=0.05)


def test_after_a_large_batch_the_next_one_is_read_at_once() -> None:
    assert after(40 * FAST, LARGE) == 0
