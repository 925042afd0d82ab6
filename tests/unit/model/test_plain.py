"""Records are plain if writing and reading them changes nothing."""

from __future__ import annotations

import datetime as dt
import random
from collections import OrderedDict
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest

from rsq_pipe.model.plain import are_plain, copied, is_plain
from rsq_pipe.streams.serializers import JsonSerializer, MsgpackSerializer, Serializer


class Colour(IntEnum):
    RED = 1


class Size(StrEnum):
    LARGE = "l"


class Word(str):
    __slots__ = ()


class Pair(NamedTuple):
    first: int
    second: Any = ()


@dataclass
class Order:
    total: Decimal = Decimal("1.10")
    lines: Any = field(default_factory=lambda: ({"n": 1},))


PLAIN: list[Any] = [None, True, 0, -1, 2**63 - 1, -(2**63), 0.5, -0.0, 1e300, "", "ä", "\x00", "\U0001f600"]
OTHER: list[Any] = [
    *(float("nan"), float("inf"), -float("inf"), 2**63, -(2**63) - 1, 2**70),
    *("\ud800", "a\udfff", b"x", (1,), [], {}, [1], {"a": 1}, {1}),
    *(dt.date(2024, 1, 2), object(), Colour.RED, Word("x")),
]


# What a handler may return, and JSON has a form for.
WRITABLE: list[Any] = [
    *(dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC), dt.timedelta(hours=1), Decimal("1.10"), UUID(int=1)),
    *(Size.LARGE, {"a": {"b": (1,)}}, {Size.LARGE: {1: 2}}, {1: "a", "1": "b"}),
    *(Pair(1), Order(), Order(lines={}), "[", "null", msgspec.Raw(b'{"a": [1]}'), OrderedDict(b=1, a={})),
    *([Word("x")], {Word("x"): Word("y")}),
]


@pytest.mark.parametrize("value", PLAIN, ids=ascii)
def test_a_scalar_that_comes_back_as_it_was_is_plain(value: Any) -> None:
    assert is_plain([value])
    assert are_plain([{"x": value}])
    assert are_plain([{"x": value, "y": object()}], ["x"])


@pytest.mark.parametrize("value", OTHER, ids=lambda value: ascii(value)[:20])
def test_anything_else_is_looked_at_more_closely(value: Any) -> None:
    assert not is_plain([1, value, "a"])
    assert not are_plain([{"x": 1}, {"x": value}])
    assert not are_plain([{"x": 1}, {"x": value}], ["x", "z"])
    assert are_plain([{"x": 1}, {"x": value}], ["y"])


@pytest.mark.parametrize("record", [{1: "a"}, {"\ud800": 1}, {("a",): 1}, OrderedDict(n=1), {Word("x"): 1}])
def test_names_that_are_no_text_and_records_that_are_no_dict_are_not_plain(record: Any) -> None:
    assert not are_plain([{"n": 1}, record])


def test_half_pairs_of_two_texts_make_no_text_together() -> None:
    assert not is_plain(["\ud83d", "\ude00"])


def test_values_without_content_are_plain() -> None:
    assert is_plain([])
    assert are_plain([])
    assert are_plain([{}])


@pytest.mark.parametrize("form", [JsonSerializer(), MsgpackSerializer()], ids=["json", "msgpack"])
def test_what_is_plain_is_the_same_once_it_was_written_and_read(form: Serializer) -> None:
    draw = random.Random(1)
    for _ in range(2_000):
        record = {str(n): draw.choice(PLAIN + OTHER) for n in range(draw.randint(0, 2))}
        if are_plain([record]):
            assert repr(form.decode(form.encode(record))) == repr(record)


@pytest.mark.parametrize("value", PLAIN + OTHER + WRITABLE, ids=lambda value: ascii(value)[:40])
def test_copies_are_what_comes_out_of_a_stream_or_none(value: Any) -> None:
    records = [{"x": value, "y": 1}, {"z": None}]
    copies = copied(records)
    if copies is None:
        assert (type(value), value) not in [(type(one), one) for one in PLAIN]
        return
    read = [msgspec.json.decode(msgspec.json.encode(record)) for record in records]
    assert repr(copies.records) == repr(read)
    assert [*map(msgspec.json.decode, copies.singles())] == read


def test_nothing_of_a_copy_is_that_of_which_it_was_made() -> None:
    record = {"a": {"b": {"c": 1}}, "d": [{"e": 1}]}
    for kept in (record, {"a": record["a"]}):
        copies = copied([kept])
        assert copies is not None
        copies.records[0]["a"]["b"]["c"] = 2
    assert record == {"a": {"b": {"c": 1}}, "d": [{"e": 1}]}
