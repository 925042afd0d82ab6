"""How far a sink of objects has come: which parts were begun, and what may come again."""

from __future__ import annotations

import pytest

from rsq_pipe.connectors.objects.progress import Progress, digest, of_one, packed

A, B, C = ["a", "b"], ["b", "c"], ["é:1", "d"]


def test_a_part_that_was_made_and_settled_uses_up_its_number() -> None:
    begun = Progress(7).begun(A, 100)

    assert begun.settled(A, wrote=True) == Progress(8)


def test_of_what_was_begun_by_several_the_part_that_is_there_says_what_stands_in_it() -> None:
    begun = Progress(7).begun(A, 100).begun(B, 200)
    assert begun.at == 100, "all that is begun under a number has one name"

    seen = begun.seen(digest(B))

    assert (seen.next, sorted(seen.known()), seen.attempts) == (8, ["b", "c"], ())


def test_the_same_records_begun_again_are_one_attempt() -> None:
    assert Progress(1).begun(A, 100).begun(A, 200) == Progress(1).begun(A, 100)


def test_ids_are_carried_until_each_was_in_a_batch_that_was_settled() -> None:
    seen = Progress(1).begun([*A, *C], 100).seen(digest([*A, *C]))

    partly = seen.settled(["a", "é:1"], wrote=False)
    assert (partly.next, sorted(partly.known())) == (2, ["b", "d"])

    rest = partly.begun(["x"], 200).settled(["b", "d", "x"], wrote=True)
    assert rest == Progress(3)


def test_a_batch_of_which_nothing_is_written_leaves_what_was_begun_undecided() -> None:
    begun = Progress(1).begun(A, 100)

    assert begun.settled(["other"], wrote=False).attempts == begun.attempts


def test_a_part_that_nobody_began_is_told() -> None:
    with pytest.raises(LookupError):
        Progress(1).begun(A, 100).seen(digest(B))


def test_a_part_of_one_record_says_itself_whose_it_is() -> None:
    seen = Progress(4).begun(A, 100).seen(of_one("read:é.jsonl:1"))

    assert seen == Progress(5, carried=packed(["read:é.jsonl:1"]))


def test_progress_is_written_and_read_and_ids_of_one_source_take_little_room() -> None:
    begun = Progress(3).begun([f"read:2026/orders.jsonl:{n}" for n in range(10_000)], 100)

    assert Progress.load(begun.dump()) == begun
    assert len(begun.dump()) < 40_000
    with pytest.raises(ValueError, match="Expected `object`"):
        Progress.load("12:abcd")
