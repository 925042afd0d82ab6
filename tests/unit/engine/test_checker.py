"""The checker of the chaos tests sees every kind of wrong."""

from __future__ import annotations

import pytest

from tests.support.checker import Account, Expected, check

EXPECTED = Expected({"a": "out", "b": "out", "c": "price:dlq"}, {"filter": 2})
RIGHT = [("a", "out"), ("b", "out"), ("c", "price:dlq")]


def account(found: list[tuple[str, str]], filtered: int = 2) -> Account:
    return check(EXPECTED, found, {"filter": filtered})


def test_what_should_be_is_clean() -> None:
    assert account(RIGHT).is_clean


@pytest.mark.parametrize(
    ("found", "kind", "who"),
    [
        (RIGHT[1:], "lost", {"a"}),
        ([*RIGHT, ("b", "out")], "duplicated", {"b"}),
        ([("a", "out"), ("b", "price:dlq"), ("c", "price:dlq")], "condemned", {"b"}),
        ([*RIGHT, ("stranger", "out")], "misplaced", {"stranger"}),
        ([("a", "elsewhere"), *RIGHT[1:]], "misplaced", {"a"}),
        ([*RIGHT[:2], ("c", "out")], "misplaced", {"c"}),
    ],
)
def test_the_checker_names_the_records(found: list[tuple[str, str]], kind: str, who: set[str]) -> None:
    assert getattr(account(found), kind) == who
    assert not account(found).is_clean


@pytest.mark.parametrize("counted", [1, 3])
def test_the_checker_compares_the_counters_of_drops(counted: int) -> None:
    assert account(RIGHT, counted).miscounted == {"filter": (2, counted)}
    assert not account(RIGHT, counted).is_clean


def test_drops_that_nobody_expects_are_miscounted() -> None:
    assert check(Expected({}), [], {"filter": 1}).miscounted == {"filter": (0, 1)}


def test_records_that_went_into_a_state_are_compared_too() -> None:
    expected = Expected({}, stored={"windows": 3})

    assert check(expected, [], stored={"windows": 3}).is_clean
    assert check(expected, [], stored={"windows": 2}).miscounted == {"windows:stored": (3, 2)}
    assert check(Expected({}), [], stored={"windows": 1}).miscounted == {"windows:stored": (0, 1)}
