"""Ids that begin alike are kept apart from their beginning, and look like a list of ids."""

from __future__ import annotations

import pytest

from rsq_pipe.model.record_ids import RecordIds, joined_ids, picked, prefixed

RIDS = ["read:a.csv:9", "read:a.csv:10", "read:a.csv:11"]


@pytest.fixture
def ids() -> RecordIds:
    return RecordIds("read:a.csv:", ["9", "10", "11"])


def test_they_are_what_a_list_of_the_ids_is(ids: RecordIds) -> None:
    assert [*ids] == RIDS
    assert [ids[place] for place in range(-3, 3)] == RIDS * 2
    assert (len(ids), ids == RIDS, ids == RIDS[1:]) == (3, True, False)
    assert ids.__eq__("other") is False
    assert ids[1:] == RIDS[1:]
    assert ids[::-1] == RIDS[::-1]
    assert repr(ids) == repr(RIDS)
    assert RIDS[1] in ids


def test_a_place_beyond_the_last_is_an_error(ids: RecordIds) -> None:
    with pytest.raises(IndexError):
        ids[3]


@pytest.mark.parametrize(
    ("rids", "prefix"),
    [
        (RIDS, "read:a.csv:"),
        (["a", "b"], ""),
        (["read:1", "read:1"], "read:1"),
        (["", "a"], ""),
        (["é1", "é2"], "é"),
    ],
)
def test_the_beginning_is_as_long_as_it_can_be(rids: list[str], prefix: str) -> None:
    found = RecordIds.of(rids)

    assert (found.prefix, [*found]) == (prefix, rids)


def test_some_of_them_are_picked_in_the_order_asked_for(ids: RecordIds) -> None:
    for rids in (ids, RIDS):
        assert picked(rids, [2, 0]) == [RIDS[2], RIDS[0]]


@pytest.mark.parametrize("rids", [RIDS, RecordIds("read:a.csv:", ["9", "10", "11"])])
def test_the_same_text_is_put_before_all(rids: list[str]) -> None:
    assert prefixed("x:", rids) == [f"x:{rid}" for rid in RIDS]


@pytest.mark.parametrize(
    "more",
    [
        RecordIds("read:a.csv:", ["12"]),
        RecordIds("read:b.csv:", ["1", "2"]),
        RecordIds("read:a.csv:", []),
        ["other"],
        ("other",),
        [],
    ],
)
@pytest.mark.parametrize("first", [RecordIds("read:a.csv:", ["9", "10"]), ["x", "y"], [], RecordIds("", [])])
def test_joined_ids_are_those_of_both(first: list[str], more: list[str]) -> None:
    whole = [*first, *more]

    found = joined_ids(first[:], more)

    assert [*found] == whole
    assert joined_ids(found, ["z"]) == [*whole, "z"]


def test_what_is_joined_keeps_its_own_list(ids: RecordIds) -> None:
    more = RecordIds("read:a.csv:", ["12"])

    joined_ids(joined_ids(ids, more), ["z"])

    assert more == ["read:a.csv:12"]


def test_ids_that_begin_alike_stay_in_this_form(ids: RecordIds) -> None:
    found = joined_ids(ids, RecordIds("read:a.csv:", ["12"]))

    assert isinstance(found, RecordIds)
    assert found == [*RIDS, "read:a.csv:12"]
