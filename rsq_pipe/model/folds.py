"""Folds: turn the values of some records into the partial of their group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from rsq_pipe.model import distinct, exact_sum, extreme, sketch

Fold: TypeAlias = Callable[[Sequence[Any]], Any]

_encoder = msgspec.json.Encoder(order="deterministic")


def _sum(values: Sequence[Any]) -> list[Any]:
    return exact_sum.summed(values, whole=float not in {*map(type, values)})


def _squares(values: Sequence[Any]) -> list[Any]:
    return _sum(exact_sum.squares(values))


def _true(values: Sequence[Any]) -> int:
    return sum(map(bool, values))


def _distinct(values: Sequence[Any]) -> list[int | bytes]:
    kinds = {*map(type, values)}
    if kinds <= _QUICK:
        values = [*{*values}]  # most values occur many times
    return distinct.distinct(_encoder.encode(canonical(value)) for value in values)


# A set treats 1 and True as one value, and cannot hold a list.
_QUICK = frozenset((str, int, float))


def canonical(value: Any) -> Any:
    """
    Turn a whole number into an int: 1 and 1.0 are one value, as in SQL.

    Large ones too: as keys of a dict they are equal, so those of one batch are one value already.
    """
    return int(value) if type(value) is float and value.is_integer() else value


OF_VALUES: Mapping[str, Fold] = {
    "values": len,
    "true": _true,
    "sum": _sum,
    "squares": _squares,
    "least": extreme.least,
    "greatest": extreme.greatest,
    "sketch": sketch.sketched,
    "distinct": _distinct,
}
"""Folds that need only the values, none of them null."""


def first(at: Sequence[int], rids: Sequence[str], values: Sequence[Any]) -> Any:
    """Find the earliest value."""
    return _placed(min, at, rids, values)


def last(at: Sequence[int], rids: Sequence[str], values: Sequence[Any]) -> Any:
    """Find the latest value."""
    return _placed(max, at, rids, values)


def _placed(choose: Callable[..., Any], at: Sequence[int], rids: Sequence[str], values: Sequence[Any]) -> Any:
    if not values:
        return extreme.NOTHING
    when = choose(at)
    places = [place for place, time in enumerate(at) if time == when]
    place = choose(places, key=lambda place: extreme.sort_key(rids[place]).encode())
    return extreme.placed(when, rids[place], values[place])
