"""Durations counted in slots, and told again."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.call_times import MOST, quantiles, slot


@pytest.mark.parametrize("seconds", [2e-6, 0.000_5, 0.013, 1.0, 59.0, 900.0])
def test_a_duration_is_told_again_to_within_a_fifth(seconds: float) -> None:
    found = quantiles({slot(seconds): 7}, 0.5)

    assert found is not None
    assert found[0] == pytest.approx(seconds, rel=0.2)


def test_durations_of_any_length_have_a_slot() -> None:
    assert (slot(0.0), slot(-1.0), slot(1e9)) == (0, 0, MOST)


def test_quantiles_go_by_the_number_of_calls() -> None:
    counts = {slot(0.001): 94, slot(1.0): 6}

    found = quantiles(counts, 0.5, 0.95)

    assert found is not None
    assert found[0] == pytest.approx(0.001, rel=0.2)
    assert found[1] == pytest.approx(1.0, rel=0.2)
    assert quantiles({}, 0.5) is None
    assert quantiles({3: 0}, 0.5) is None
