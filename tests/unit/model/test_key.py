"""Keys: equal where values are, and never else."""

from __future__ import annotations

from typing import Any

import pytest

from rsq_pipe.model.key import MAX_KEY, key_of, keyed

SOME: list[Any] = [
    5, "5", True, 1.5, "1.5", "", "null", [5], ["5"], [[5]], {"a": 5}, {"a": "5"}, "a" * MAX_KEY,
    "a" * (MAX_KEY + 1), "ä" * MAX_KEY, 2**70, 1e300, False, 0, [], {},
]  # fmt: skip


def test_values_that_differ_have_keys_that_differ() -> None:
    keys = [key_of([value]) for value in SOME]

    assert len({*keys}) == len(SOME)


@pytest.mark.parametrize("value", SOME, ids=[str(at) for at in range(len(SOME))])
def test_one_expression_and_several_make_the_same_key(value: Any) -> None:
    single, double = keyed([lambda record: record]), keyed([lambda record: record] * 2)

    assert single(value) == key_of([value])
    assert double(value) == key_of([value, value])


@pytest.mark.parametrize(("one", "other"), [(5, 5.0), ([5.0], [5]), ({"a": 1, "b": 2}, {"b": 2.0, "a": 1})])
def test_a_number_is_one_value_however_it_is_written(one: Any, other: Any) -> None:
    assert key_of([one]) == key_of([other])


def test_parts_are_not_taken_for_one_another() -> None:
    assert len({key_of(["a", "b"]), key_of(["a,b"]), key_of(["b", "a"]), key_of([["a", "b"]])}) == 4


@pytest.mark.parametrize("values", [[None], [1, None], [None, None]], ids=["one", "second", "both"])
def test_null_has_no_key(values: list[Any]) -> None:
    assert key_of(values) is None


def test_a_key_is_short() -> None:
    assert len(key_of(["x" * 100_000]) or b"") == 17
