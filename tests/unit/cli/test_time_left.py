"""How far a source has been read, and how long the rest will take."""

from __future__ import annotations

from rsq_pipe.cli.time_left import TimeLeft


def test_the_rest_is_reckoned_by_what_this_run_has_read() -> None:
    left = TimeLeft()
    left.told({"read": 0.5}, 100.0)  # the half that an earlier run has read took it an hour

    assert left.told({"read": 0.6}, 110.0) == {"read": "60% read, 40s left"}


def test_nothing_is_reckoned_in_the_first_two_seconds_nor_while_nothing_moves() -> None:
    left = TimeLeft()
    left.told({"read": 0.1}, 0.0)

    assert left.told({"read": 0.3}, 1.9) == {"read": "30% read"}
    assert left.told({"read": 0.1}, 60.0) == {"read": "10% read"}


def test_a_source_that_is_read_has_no_time_left() -> None:
    assert TimeLeft().told({"read": 1.0, "more": 0.0}, 5.0) == {"read": "all read", "more": "0% read"}
