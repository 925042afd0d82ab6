"""Aggregates: the functions of `aggregate`, with the partials each keeps and how its result is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from msgspec import Struct

from rsq_pipe.model import distinct, exact_sum, extreme, sketch


class Aggregate(Struct, frozen=True):
    """
    Describe one function.

    Args:
        folds: The partials it needs: names in FOLDS.
        result: Computes the value from the partials, in the order of `folds`, and from the second argument if
            there is one.
        says: A description for the reference page.
        takes: Its usage.
        least, most: Minimum and maximum number of arguments.
    """

    folds: tuple[str, ...]
    result: Callable[..., Any]
    says: str
    takes: str
    least: int = 1
    most: int = 1


FOLDS: Mapping[str, str] = {
    "records": "count",
    "values": "count",
    "true": "count",
    "sum": "sum",
    "squares": "sum",
    "least": "least",
    "greatest": "greatest",
    "first": "first",
    "last": "last",
    "sketch": "sketch",
    "distinct": "distinct",
}
"""Fold of an argument's values -> the kind of its partial."""

NUMBERS = frozenset(("sum", "squares", "sketch"))
"""Folds of numbers only."""

ORDERED = frozenset(("least", "greatest"))
"""Folds of numbers and texts."""


def _average(total: Sequence[Any], count: int) -> float | None:
    return None if not count else _divided(_exactly(total), count)


def _variance(count: int, total: Sequence[Any], squares: Sequence[Any]) -> float | None:
    """Compute the variance of a sample from exact sums: precise even if the numbers are nearly equal."""
    if count < 2:
        return None
    return _divided(_exactly(squares) - _exactly(total) ** 2 / count, count - 1)


def _exactly(total: Sequence[Any]) -> Fraction:
    return sum(map(Fraction, total[1:]), Fraction())


def _divided(number: Fraction, by: int) -> float:
    return float(number / by)


def _deviation(count: int, total: Sequence[Any], squares: Sequence[Any]) -> float | None:
    variance = _variance(count, total, squares)
    return None if variance is None else math.sqrt(variance)


def _median(of: Sequence[Any]) -> float | None:
    return sketch.quantile(of, 0.5)


def _any(true: int, count: int) -> bool | None:
    return true > 0 if count else None


def _all(true: int, count: int) -> bool | None:
    return true == count if count else None


_ABOUT = f"within {sketch.ERROR:.0%} of the number at that rank"

AGGREGATES: Mapping[str, Aggregate] = {
    "count": Aggregate(
        ("values",), int, "how many records, or how many values that are not null", "count(), count(x)", 0
    ),
    "sum": Aggregate(("sum",), exact_sum.total, "the sum, exact, rounded once at the end", "sum(x)"),
    "avg": Aggregate(("sum", "values"), _average, "the sum divided by how many there are", "avg(x)"),
    "min": Aggregate(("least",), extreme.shown, "the least number, or text", "min(x)"),
    "max": Aggregate(("greatest",), extreme.shown, "the greatest number, or text", "max(x)"),
    "first": Aggregate(("first",), extreme.value_of, "the value of the earliest record by `on`", "first(x)"),
    "last": Aggregate(("last",), extreme.value_of, "the value of the latest record by `on`", "last(x)"),
    "quantile": Aggregate(
        ("sketch",),
        sketch.quantile,
        f"the number below which a share `q` lies, {_ABOUT}",
        "quantile(x, q)",
        2,
        2,
    ),
    "median": Aggregate(("sketch",), _median, "`quantile(x, 0.5)`", "median(x)"),
    "count_distinct": Aggregate(
        ("distinct",),
        distinct.how_many,
        f"how many different values: exact up to {distinct.EXACT}, beyond with a standard error of "
        f"{distinct.ERROR:.1%}",
        "count_distinct(x)",
    ),
    "stddev": Aggregate(
        ("values", "sum", "squares"), _deviation, "the standard deviation of a sample", "stddev(x)"
    ),
    "variance": Aggregate(("values", "sum", "squares"), _variance, "the variance of a sample", "variance(x)"),
    "any": Aggregate(("true", "values"), _any, "whether one value is true", "any(x)"),
    "all": Aggregate(("true", "values"), _all, "whether all values are true", "all(x)"),
}
"""Name -> function. All ignore null, as in SQL; given only nulls, each returns null, and a count 0."""
