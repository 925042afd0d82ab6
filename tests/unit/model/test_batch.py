"""Batches in columns: parts of one are found again at the places they came from."""

from __future__ import annotations

import pytest

from rsq_pipe.model.batch import Batch, taken
from rsq_pipe.model.delivery import Delivery


def given(count: int = 6) -> Batch:
    """Records of packs of two, some with headers and attempts."""
    return Batch(
        [{"n": n} for n in range(count)],
        [f"read:{n}" for n in range(count)],
        [n // 2 for n in range(count)],
        [Delivery("s", f"{n}-0", 1) for n in range(count // 2)],
        {1: {"h": "1"}, 4: {"h": "4"}},
        {2: 1, 4: 2},
        lambda place: b"%d" % place,
    )


def test_what_is_known_of_a_record_is_at_its_place_in_every_column() -> None:
    batch = given()

    assert len(batch) == 6
    assert (batch.headers_at(4), batch.attempts_at(4)) == ({"h": "4"}, 2)
    assert (batch.headers_at(0), batch.attempts_at(0)) == ({}, 0)
    assert batch.delivery_at(5) == Delivery("s", "2-0", 1)
    assert batch.knows_bytes
    assert batch.original(3) == b"3"


def test_without_origins_each_record_came_in_an_entry_of_its_own_or_in_none() -> None:
    single = Batch([{}, {}], ["a", "b"], deliveries=[Delivery("s", "1-0"), Delivery("s", "2-0")])
    brought = Batch([{}, {}], ["a", "b"])

    assert [single.delivery_at(place) for place in range(2)] == list(single.deliveries)
    assert list(brought.origins) == [0, 0]
    assert brought.delivery_at(1) is None


def test_bytes_that_were_not_kept_are_an_error() -> None:
    batch = Batch([{}], ["a"])

    assert not batch.knows_bytes
    assert not batch.only([0]).knows_bytes
    with pytest.raises(LookupError, match="the bytes of record 0 were not kept"):
        batch.original(0)


def test_some_of_a_batch_keep_all_that_is_known_of_them_in_the_order_asked_for() -> None:
    some = given().only([4, 1])

    assert some.records == [{"n": 4}, {"n": 1}]
    assert some.rids == ["read:4", "read:1"]
    assert (some.headers, some.attempts) == ({0: {"h": "4"}, 1: {"h": "1"}}, {0: 2})
    assert [some.delivery_at(place) for place in range(2)] == [
        Delivery("s", "2-0", 1),
        Delivery("s", "0-0", 1),
    ]
    assert (some.original(0), some.original(1)) == (b"4", b"1")
    assert some.deliveries == given().deliveries


def test_some_of_some_are_found_too() -> None:
    some = given().only([5, 4, 3]).only([1])

    assert (some.rids, some.original(0), some.headers, some.attempts) == (
        *(["read:4"], b"4"),
        *({0: {"h": "4"}}, {0: 2}),
    )


def test_none_of_a_batch_is_an_empty_one() -> None:
    assert len(given().only([])) == 0


@pytest.mark.parametrize(("size", "starts"), [(1, [0, 1, 2, 3, 4, 5]), (4, [0, 4]), (5, [0, 5]), (6, [0])])
def test_slices_are_the_batch_in_order(size: int, starts: list[int]) -> None:
    batch = given()

    slices = list(batch.slices(size))

    assert [start for start, _ in slices] == starts
    assert [rid for _, part in slices for rid in part.rids] == batch.rids
    for start, part in slices:
        assert len(part) <= size
        for place in range(len(part)):
            assert part.original(place) == batch.original(start + place)
            assert part.headers_at(place) == batch.headers_at(start + place)
            assert part.attempts_at(place) == batch.attempts_at(start + place)
            assert part.delivery_at(place) == batch.delivery_at(start + place)


def test_a_batch_that_is_small_enough_is_its_only_slice() -> None:
    batch = given()

    ((start, part),) = batch.slices(100)

    assert (start, part is batch) == (0, True)
    assert [len(part) for _, part in Batch([], []).slices(3)] == [0]


def test_values_of_sparse_columns_move_with_their_records() -> None:
    assert taken({1: "a", 7: "b"}, [7, 3, 1]) == {0: "b", 2: "a"}
    assert taken({}, [1, 2]) == {}
