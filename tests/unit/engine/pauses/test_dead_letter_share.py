"""How many of a stage's last records became dead letters, by its counters after each settlement."""

from __future__ import annotations

from rsq_pipe.engine.pauses.dead_letter_share import DeadLetterShare
from rsq_pipe.spec.graph import DeadLetterLimit

FIVE = DeadLetterLimit("5%", 0.05, 1_000, "pause")


def share(limit: DeadLetterLimit = FIVE, *, handled: int = 0, dead: int = 0) -> DeadLetterShare:
    made = DeadLetterShare(limit)
    made.begin(handled, dead)
    return made


def test_more_than_the_share_of_the_last_records_is_too_much() -> None:
    watched = share()

    assert watched.too_many(1_000, 50) == ""
    assert (
        watched.too_many(1_010, 51 + 9) == "60 of the last 1,010 records became dead letters; 5% of 1,000 may"
    )


def test_what_happened_before_it_began_does_not_count() -> None:
    watched = share(handled=10_000, dead=9_000)

    assert watched.too_many(10_500, 9_050) == ""
    assert watched.too_many(10_501, 9_051) != ""


def test_records_that_are_missing_to_the_number_count_as_good() -> None:
    watched = share()

    assert watched.too_many(50, 50) == "", "all of them; but 50 of 1,000 may"
    assert watched.too_many(51, 51) != ""


def test_only_the_last_records_count() -> None:
    watched = share()

    for number in range(1, 101):
        # 4 of each 100: 4%, however many there were before
        assert watched.too_many(100 * number, 4 * number) == ""
    assert watched.too_many(10_100, 411) == "", "47 of the last 1,000"
    assert watched.too_many(10_200, 419) != ""


def test_a_settlement_of_more_records_than_are_looked_at_is_judged_as_a_whole() -> None:
    watched = share(DeadLetterLimit("5%", 0.05, 10, "pause"))

    assert watched.too_many(500, 25) == ""
    assert watched.too_many(1_000, 51) != ""


def test_no_dead_letter_at_all_may_be_what_is_wished() -> None:
    watched = share(DeadLetterLimit("0%", 0.0, 1_000, "stop"))

    assert watched.too_many(5_000, 0) == ""
    assert watched.too_many(5_001, 1) != ""


def test_attempts_of_which_one_hears_later_do_not_make_it_look_at_less() -> None:
    watched = share()

    watched.too_many(900, 40)
    watched.too_many(800, 40)  # 100 of them were put off by another process

    assert watched.too_many(950, 51) != ""
