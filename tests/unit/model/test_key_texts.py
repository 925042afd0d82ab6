"""Two keys of one object are found if they are one text in JSON; text keys cost hardly anything."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel

from rsq_pipe.model.key_texts import have_text_keys, same_text
from rsq_pipe.model.pack import JsonPacks, MsgpackPacks, Packs
from rsq_pipe.model.plain import copied, singles
from rsq_pipe.streams.serializers import JsonSerializer, MsgpackSerializer, Serializer


class Colour(Enum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


class Size(StrEnum):
    LARGE = "l"


class Word(str):
    __slots__ = ()


class Struct(msgspec.Struct):
    inner: Any


class Model(BaseModel):
    inner: Any


@dataclass
class Data:
    inner: Any = field(default_factory=dict)


NOW = dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC)
SAME: list[dict[Any, Any]] = [
    *({1: 0, "1": 0}, {"1": 0, 1: 0}, {-1: 0, "-1": 0}, {2**70: 0, str(2**70): 0}, {1.5: 0, "1.5": 0}),
    *(
        {1.0: 0, "1.0": 0},
        {1e300: 0, "1e300": 0},
        {float("nan"): 0, "nan": 0},
        {float("nan"): 0, -float("nan"): 0},
    ),
    *({b"ab": 0, "YWI=": 0}, {Decimal("1.0"): 0, "1.0": 0}, {Decimal("1.50"): 0, 1.5: 0, "1.50": 0}),
    *({NOW.date(): 0, "2024-01-02": 0}, {NOW: 0, "2024-01-02T03:00:00Z": 0}, {NOW.time(): 0, "03:00:00": 0}),
    *({dt.timedelta(1): 0, "P1D": 0}, {UUID(int=1): 0, str(UUID(int=1)): 0}, {Colour.RED: 0, "red": 0}),
    *({Number.ONE: 0, "1": 0}, {NOW.replace(tzinfo=None): 0, "2024-01-02T03:00:00": 0}),
]
DIFFERENT: list[dict[Any, Any]] = [
    *({1: 0, "2": 0}, {1: 0, 1.5: 0}, {1.0: 0, "1": 0}, {Size.LARGE: 0, "m": 0}, {Word("a"): 0, "b": 0}),
    *({b"ab": 0, "ab": 0}, {Colour.RED: 0, "RED": 0}, {1: {"1": 0}}, {1: 0}),
]
TEXT: list[dict[str, Any]] = [
    *({}, {"a": 1}, {"a": {}}, {"a": []}, {"a": [1, "b", None, 1.5, True]}, {"a": {"b": {"c": [{"d": 1}]}}}),
    *({"a": [[[{"b": {}}]]]}, {"a": NOW}, {"a": b"x"}),
]
NESTED: list[Callable[[Any], dict[str, Any]]] = [
    *(lambda inner: {"x": inner}, lambda inner: {"x": [{"y": inner}]}, lambda inner: {"x": {"y": [[inner]]}}),
    *(
        lambda inner: {"x": (1, inner)},
        lambda inner: {"x": Struct(inner)},
        lambda inner: {"x": Data([inner])},
    ),
]


@pytest.mark.parametrize("inner", SAME, ids=repr)
def test_two_keys_with_one_text_are_found_at_any_depth(inner: dict[Any, Any]) -> None:
    assert len(msgspec.json.decode(msgspec.json.encode(inner))) < len(inner)
    assert same_text(inner).startswith("$ has the keys ")
    for nested in NESTED:
        assert same_text(nested(inner)).startswith("$.x")
        for rows in ([nested(inner)], [*[{"x": 1}] * 20, nested(inner), {"x": {}}], [[1, nested(inner)]] * 9):
            assert not have_text_keys(rows)


@pytest.mark.parametrize("inner", DIFFERENT, ids=repr)
def test_keys_with_different_texts_are_let_through(inner: dict[Any, Any]) -> None:
    assert len(msgspec.json.decode(msgspec.json.encode(inner))) == len(inner)
    assert all(same_text(nested(inner)) == "" for nested in NESTED)


@pytest.mark.parametrize("record", TEXT, ids=repr)
def test_keys_that_are_all_text_are_seen_without_a_look_at_each(record: dict[str, Any]) -> None:
    for rows in ([record], [record] * 20, [[1, record, None]] * 9, [{}, *[record] * 20]):
        assert have_text_keys(rows)


def test_the_message_names_both_keys_and_says_what_to_do() -> None:
    assert same_text({"lines": [{}, {"counts": {"a": 0, 7: 1, "7": 2}}]}) == (
        "$.lines[1].counts has the keys 7 and '7', both the text '7' in JSON, and one of their values "
        "would be lost; use keys that differ as text"
    )
    assert same_text(Model(inner={7: 1, "7": 2})).startswith("$.inner has the keys 7 and '7', ")
    long = "9" * 4000
    assert len(same_text({int(long): 1, long: 2})) < 400


@pytest.mark.parametrize("inner", SAME, ids=repr)
def test_nothing_writes_them_as_json(inner: dict[Any, Any]) -> None:
    for record in (inner, {"x": [{"y": inner}]}):
        for records in ([record, {"n": 1}], [record, record], [{"x": 0}, {"x": 1}, record]):
            assert singles(records) is None
            assert copied(records) is None
            with pytest.raises(Exception, match="has the keys"):
                JsonPacks().encode(records, ["r"] * len(records), {})
            with pytest.raises(Exception, match="has the keys"):
                JsonPacks().encode(records, ["r"] * len(records), {}, whole=True)
        with pytest.raises(Exception, match="has the keys"):
            JsonSerializer().encode(record)


@pytest.mark.parametrize("inner", SAME, ids=repr)
def test_nothing_writes_them_as_msgpack(inner: dict[Any, Any]) -> None:
    for record in (inner, {"x": [{"y": inner}]}, {"x": Data(inner)}, {"x": (Struct([inner]),)}):
        with pytest.raises(Exception, match="cannot be written as msgpack"):
            MsgpackPacks().encode([record, {"n": 1}], ["r", "s"], {})
        with pytest.raises(Exception, match=r"has the keys|out of range"):
            MsgpackSerializer().encode(record)


@pytest.mark.parametrize("form", [MsgpackSerializer(), JsonSerializer()], ids=["msgpack", "json"])
def test_a_serializer_names_the_keys(form: Serializer) -> None:
    with pytest.raises(
        Exception, match=r"the record cannot be written as \w+: \$\.x has the keys 1 and '1', "
    ):
        form.encode({"x": {1: 0, "1": 1}})


@pytest.mark.parametrize("packs", [MsgpackPacks(), JsonPacks()], ids=["msgpack", "json"])
def test_a_pack_lets_through_what_differs(packs: Packs) -> None:
    records = [{"x": {1: 0, "2": 1}}, {"x": {3: 0}}]
    read = packs.decode(packs.encode(records, ["a", "b"], {})).records
    assert [{str(key): one for key, one in record["x"].items()} for record in read] == [
        *({"1": 0, "2": 1}, {"3": 0})
    ]
