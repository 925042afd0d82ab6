"""Records are plain if writing and reading them changes nothing."""

from __future__ import annotations

import datetime as dt
import random
from collections import OrderedDict
from enum import IntEnum
from typing import Any

import pytest

from rsq_pipe.model.plain import are_plain, is_plain
from rsq_pipe.streams.serializers import JsonSerializer, MsgpackSerializer, Serializer


class Colour(IntEnum):
    RED = 1


class Word(str):
    __slots__ = ()


PLAIN: list[Any] = [None, True, 0, -1, 2**63 - 1, -(2**63), 0.5, -0.0, 1e300, "", "ä", "\x00", "\U0001f600"]
OTHER: list[Any] = [
    *(float("nan"), float("inf"), -float("inf"), 2**63, -(2**63) - 1, 2**70),
    *("\ud800", "a\udfff", b"x", (1,), [], {}, [1], {"a": 1}, {1}),
    *(dt.date(2024, 1, 2), object(), Colour.RED, Word("x")),
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


def test_nothing_is_plain() -> None:
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
