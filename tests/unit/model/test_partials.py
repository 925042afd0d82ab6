"""Partials: what they tell of the values they were made of, however these were divided and merged."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from typing import Any

import pytest

from rsq_pipe.model import distinct, exact_sum, extreme, sketch
from rsq_pipe.model.partials import KINDS, packed, unpacked

Fold = Callable[[list[Any]], Any]


def as_stored(partial: Any) -> Any:
    return unpacked(packed([partial]))[0]


def divided(values: list[Any], seed: int) -> list[list[Any]]:
    """The values in another order, in parts; some parts are empty."""
    draw = random.Random(seed)
    parts: list[list[Any]] = [[] for _ in range(draw.randint(1, 12))]
    for value in draw.sample(values, len(values)):
        draw.choice(parts).append(value)
    return parts


def in_parts(kind: str, fold: Fold, values: list[Any], seed: int) -> Any:
    return reduce(KINDS[kind].merge, (as_stored(fold(part)) for part in divided(values, seed)))


def summed(values: list[Any]) -> list[Any]:
    return exact_sum.summed(values, whole=all(type(value) is not float for value in values))


SUMS: list[list[Any]] = [
    [],
    [0, 0],
    [0.0],
    [1, 2, True],
    [0.1] * 10,
    [1e16, 1.0, -1e16, 1e-3],
    [2**53 + 1, 1, -(2**100), 2**100],
    [10**280, 1, -(10**280)],
    [2**60 + 1, 0.5],
    [random.Random(1).uniform(-1e9, 1e9) for _ in range(500)],
    [random.Random(2).uniform(-1, 1) * 10 ** random.Random(k).randint(-200, 200) for k in range(200)],
]


@pytest.mark.parametrize("values", SUMS, ids=range(len(SUMS)))
@pytest.mark.parametrize("seed", range(5))
def test_a_sum_is_exact_and_rounded_once(values: list[Any], seed: int) -> None:
    found = exact_sum.total(in_parts("sum", summed, values, seed))

    exact = sum(map(Fraction, values))
    if any(type(value) is float for value in values):
        assert found == float(exact)
        assert type(found) is float
    else:
        assert found == (int(exact) if values else None)
        assert type(found) is not float


@pytest.mark.parametrize("value", [1.1, 1e8 + 0.3, 1e100 / 3, -7.7e-50, 3, 2**60 + 1])
def test_a_square_is_exact(value: Any) -> None:
    assert sum(map(Fraction, exact_sum.squares([value]))) == Fraction(value) ** 2


MIXED: list[list[Any]] = [
    [],
    [3, 1, 2],
    [1.0, 1],
    [2**53 + 1, 2**53, 2.0**53],
    [10**100 + 1, 10**100],
    [0, -5, 0.5],
    ["b", "a", "ä", "z"],
    [7, "7", 1.5],
]


@pytest.mark.parametrize("values", MIXED, ids=map(str, MIXED))
@pytest.mark.parametrize("seed", range(5))
def test_extremes_are_the_values_themselves(values: list[Any], seed: int) -> None:
    least = extreme.shown(in_parts("least", extreme.least, values, seed))
    greatest = extreme.shown(in_parts("greatest", extreme.greatest, values, seed))

    order = sorted(values, key=lambda v: (isinstance(v, str), v if isinstance(v, str) else Fraction(v)))
    assert (least, greatest) == ((order[0], order[-1]) if values else (None, None))
    if 1 in values and 1.0 in values and len(values) == 2:
        assert type(least) is type(greatest) is int


@pytest.mark.parametrize("seed", range(5))
def test_first_and_last_are_by_time_and_then_by_record_id(seed: int) -> None:
    values = [extreme.placed(at // 3, f"read:{at}", {"n": at}) for at in range(60)]

    def first(part: list[Any]) -> Any:
        return reduce(extreme.merged_first, part, extreme.NOTHING)

    def last(part: list[Any]) -> Any:
        return reduce(extreme.merged_last, part, extreme.NOTHING)

    assert extreme.value_of(in_parts("first", first, values, seed)) == {"n": 0}
    assert extreme.value_of(in_parts("last", last, values, seed)) == {"n": 59}


def test_the_last_of_equal_times_is_the_one_with_the_greater_number_in_its_id() -> None:
    nine, ten = (extreme.placed(0, f"read:a.csv:{n}", n) for n in (9, 10))

    assert extreme.value_of(extreme.merged_last(nine, ten)) == 10
    assert extreme.value_of(extreme.merged_first(ten, nine)) == 9


DRAWS: dict[str, Callable[[random.Random], float]] = {
    "uniform": lambda draw: draw.uniform(0, 1000),
    "both signs": lambda draw: draw.gauss(0, 100),
    "whole": lambda draw: draw.randint(-3, 3),
    "long tail": lambda draw: draw.paretovariate(0.5),
    "tiny": lambda draw: draw.uniform(0, 1e-9),
}


@pytest.mark.parametrize("draws", DRAWS)
@pytest.mark.parametrize("share", [0, 0.01, 0.25, 0.5, 0.95, 0.999, 1])
def test_a_quantile_is_within_the_stated_error_of_the_number_at_its_rank(draws: str, share: float) -> None:
    draw = random.Random(share)
    values = [DRAWS[draws](draw) for _ in range(5_000)]

    found = sketch.quantile(in_parts("sketch", sketch.sketched, values, 1), share)

    at_rank = sorted(values)[int(share * (len(values) - 1))]
    assert found is not None
    assert math.isclose(found, at_rank, rel_tol=sketch.ERROR + 1e-12, abs_tol=sketch.SMALLEST)


def test_a_sketch_stays_small_and_keeps_the_numbers_far_from_zero() -> None:
    values = [10.0**power for power in range(-12, 290)] * 20
    whole = sketch.sketched(values)

    assert all(in_parts("sketch", sketch.sketched, values, seed) == whole for seed in range(5))
    assert len(whole[1]) // 2 <= sketch.MAX_BINS
    greatest = sketch.quantile(whole, 1)
    assert greatest is not None
    assert math.isclose(greatest, 1e289, rel_tol=sketch.ERROR)


def test_no_number_has_no_quantile() -> None:
    assert sketch.quantile(sketch.sketched([]), 0.5) is None


def counted(values: list[Any]) -> Any:
    return distinct.distinct(str(value).encode() for value in values)


@pytest.mark.parametrize("count", [0, 1, distinct.EXACT])
@pytest.mark.parametrize("seed", range(3))
def test_few_different_values_are_counted_exactly(count: int, seed: int) -> None:
    assert distinct.how_many(in_parts("distinct", counted, [*range(count)] * 3, seed)) == count


@pytest.mark.parametrize("count", [distinct.EXACT + 1, 5_000, 12_000, 200_000])
def test_many_different_values_are_estimated_within_a_few_standard_errors(count: int) -> None:
    values = [*range(count)]

    whole = counted(values)

    assert all(in_parts("distinct", counted, values, seed) == whole for seed in range(2))
    assert abs(distinct.how_many(whole) - count) < 4 * distinct.ERROR * count


def test_the_standard_error_of_an_estimate_is_the_one_that_is_stated() -> None:
    errors = [distinct.how_many(counted([(run, n) for n in range(3_000)])) / 3_000 - 1 for run in range(100)]

    assert statistics.pstdev(errors) < 1.2 * distinct.ERROR
    assert abs(statistics.mean(errors)) < distinct.ERROR / 3
