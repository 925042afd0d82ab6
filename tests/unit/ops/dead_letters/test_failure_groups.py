"""How many dead letters become a few groups."""

from __future__ import annotations

import pytest

from rsq_pipe.ops.dead_letters.failure_groups import MAX_MESSAGES, OTHERS, FailureGroups
from tests.unit.ops.dead_letter_entries import failed, letter


def grouped(*messages: str) -> dict[str, int]:
    groups = FailureGroups()
    for message in messages:
        groups.add(failed(message))
    return {group.message: group.count for group in groups}


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("order 17 of 2,000.50 is late", "order 3 of 1 is late", "order # of # is late"),
        ("in.jsonl:17: bad", "in.jsonl:18: bad", "in.jsonl:#: bad"),
        ("user 0f8fad5b-d9cb-469f-a165-70867728950e", "user 1f8fad5b-d9cb-469f-a165-70867728950e", "user #"),
        ("commit deadbeef01 failed", "commit deadbeef02 failed", "commit # failed"),
        ("at 2026-11-24T20:51:29.2Z", "at 2026-11-25T01:00:00.1Z", "at #"),
        (
            "it took 7 s, the bound is 5,000",
            "it took 9 s, the bound is 5,000",
            "it took # s, the bound is 5,000",
        ),
        ("'utf-8' cannot decode byte 7", "'utf-8' cannot decode byte 9", "'utf-8' cannot decode byte #"),
        ("two\nlines\t and  spaces", "two lines and spaces", "two lines and spaces"),
    ],
)
def test_numbers_and_ids_in_which_messages_differ_are_not_told_apart(one: str, other: str, told: str) -> None:
    assert grouped(one, other) == {told: 2}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("flights2024-01.csv:7: bad", "flights2024-02.csv:7: bad"),
        ("no codec 'cp1252'", "no codec 'cp1250'"),
        ("stage 'step2' is slow", "stage 'step3' is slow"),
        ("no host db1.example.com", "no host db2.example.com"),
        ("longer than 30s", "longer than 60s"),
    ],
)
def test_digits_that_belong_to_a_name_tell_messages_apart(one: str, other: str) -> None:
    assert grouped(one, other) == {one: 1, other: 1}


def test_names_with_digits_are_told_as_one_when_they_are_many() -> None:
    assert grouped(*(f"no sku A{n}" for n in range(100))) == {"no sku A#": 100}


def test_a_long_message_is_cut() -> None:
    assert [len(message) for message in grouped("x1 " * 10_000)] == [300]


def test_a_group_has_its_count_its_times_and_the_newest_example() -> None:
    groups = FailureGroups()
    for number, at in enumerate([20.0, 10.0, 30.0]):
        groups.add(failed(f"order {number}", at=at, entry_id=f"{number}-0"))

    (group,) = groups

    assert (group.count, group.first.timestamp(), group.last.timestamp()) == (3, 10.0, 30.0)
    assert group.example == "price/2-0"


def test_stages_and_causes_are_kept_apart() -> None:
    groups = FailureGroups()
    for dead in (failed("a"), failed("a", stage="enrich"), letter(dlq_reason="rejected", dlq_error="a")):
        groups.add(dead)

    assert sorted((g.stage, g.reason, g.error_type) for g in groups) == [
        ("enrich", "handler_error", "ValueError"),
        ("price", "handler_error", "ValueError"),
        ("price", "rejected", ""),
    ]


def test_quoted_names_are_told_apart_while_they_are_few() -> None:
    assert grouped("no customer 'A'", "no customer 'B'", "no customer 'A'") == {
        "no customer 'A'": 2,
        "no customer 'B'": 1,
    }


def test_quoted_names_are_told_as_one_when_they_are_many() -> None:
    names = [chr(ord("a") + n // 26) + chr(ord("a") + n % 26) for n in range(100)]

    assert grouped(*(f"no customer '{name}'" for name in names)) == {"no customer '…'": 100}


def test_memory_does_not_grow_with_messages_that_have_nothing_in_common() -> None:
    words = [
        chr(ord("a") + n // 676) + chr(ord("a") + n // 26 % 26) + chr(ord("a") + n % 26) for n in range(5000)
    ]

    told = grouped(*words)

    assert len(told) <= MAX_MESSAGES + 1
    assert sum(told.values()) == 5000
    assert OTHERS in told
