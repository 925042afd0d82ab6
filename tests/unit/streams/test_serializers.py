"""Serializers write records exactly, and refuse what is not one."""

from __future__ import annotations

import datetime as dt
import pickle
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel

from rsq_pipe.errors import DecodeError, EncodeError
from rsq_pipe.streams.serializers import JsonSerializer, MsgpackSerializer, PickleSerializer, Serializer

RECORD = {
    "id": 10248,
    "name": "Vins et alcools Chevalier",
    "at": "2020-01-01T00:00:00",
    "lines": [{"n": 1.5}],
}
ALL = [JsonSerializer(), MsgpackSerializer(), PickleSerializer(trust_server=True)]


@pytest.mark.parametrize("serializer", ALL, ids=lambda serializer: type(serializer).__name__)
def test_a_record_survives(serializer: Serializer) -> None:
    assert isinstance(serializer, Serializer)
    assert serializer.decode(serializer.encode(RECORD)) == RECORD


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":1,"a":2}',
        b'{"a" :1,"a":2}',
        b'{"a" : 1, "a" : 2}',
        b'{"a"\n:1,"a"\t:2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":[{"b":1},{"c":1,"c":2}]}',
        b'{"a":"\\":","a":1}',
        b"[1,2]",
        b"1",
        b"null",
        b"",
        b"{}{}",
        b'{"a":"\xff"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_json_that_is_not_one_object_with_distinct_keys_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        JsonSerializer().decode(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"\\":\\":"}',
        b'{ "at" : "12:30 : 45", "b":1 }',
        b'{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}',
        b'{"n":123456789012345678901234567890}',
        b"{}",
    ],
)
def test_json_that_only_looks_as_if_a_key_stood_in_it_twice_is_read(raw: bytes) -> None:
    assert JsonSerializer().decode(raw) == JsonSerializer(strict=False).decode(raw)


@pytest.mark.parametrize(
    ("record", "place"),
    [
        ({"a": float("nan")}, r"\$\.a"),
        ({"": float("inf")}, r"\$\."),
        ({"a": [1, {"b": float("-inf")}]}, r"\$\.a\[1\]\.b"),
        ({"a": (float("nan"),)}, r"\$\.a\[0\]"),
    ],
)
def test_json_refuses_numbers_it_cannot_say_and_names_their_place(record: dict[str, Any], place: str) -> None:
    with pytest.raises(EncodeError, match=f"{place} is not a finite number"):
        JsonSerializer().encode(record)


def test_json_writes_null_for_none() -> None:
    assert JsonSerializer().encode({"a": None, "b": 1.5}) == b'{"a":null,"b":1.5}'


def cycle() -> dict[str, Any]:
    record: dict[str, Any] = {}
    record["self"] = record
    return record


@pytest.mark.parametrize("value", [[1], "text", None, {"a": object()}, {"a": "\ud800"}, cycle()])
@pytest.mark.parametrize("serializer", [JsonSerializer(), MsgpackSerializer()])
def test_what_is_not_a_record_cannot_be_written(serializer: Serializer, value: Any) -> None:
    with pytest.raises(EncodeError):
        serializer.encode(value)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x01",
        b"\x93\x01\x02\x03",
        b"\xc1",
        b"\x80\x80",
        b"\x81\xa1a",
        b"\x82\xa1a\x01\xa1a\x02",
        b"\x81\xa1\xff\x01",
        b"\x81\x80\x01",
        b"\x91" * 100_000,
    ],
)
def test_msgpack_that_is_not_one_map_with_distinct_keys_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        MsgpackSerializer().decode(raw)


def test_pickle_is_used_only_by_those_who_say_that_they_trust_the_server() -> None:
    with pytest.raises(ValueError, match="trust_server=True"):
        PickleSerializer()


@pytest.mark.parametrize("raw", [b"", b"not a pickle", pickle.dumps({})[:-2]])
def test_a_broken_pickle_is_a_decode_error(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        PickleSerializer(trust_server=True).decode(raw)


def test_a_function_that_cannot_be_pickled_is_an_encode_error() -> None:
    with pytest.raises(EncodeError):
        PickleSerializer(trust_server=True).encode(lambda: None)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("serializer", [JsonSerializer(), MsgpackSerializer()])
def test_a_key_that_stands_twice_among_95_000_is_found_in_linear_time(serializer: Serializer) -> None:
    numbers = [*range(95_000), 94_999]
    if isinstance(serializer, JsonSerializer):
        raw = b"{" + b",".join(b'"key%d":1' % n for n in numbers) + b"}"
    else:
        raw = b"\xdf" + len(numbers).to_bytes(4) + b"".join(b"\xa8%8d\x01" % n for n in numbers)

    with pytest.raises(DecodeError, match=r"' *(key)?94999' appears twice in one object"):
        serializer.decode(raw)


def test_a_long_key_that_stands_twice_is_named_by_its_beginning() -> None:
    key = b'"' + b"k" * 100_000 + b'":1'

    with pytest.raises(DecodeError) as caught:
        JsonSerializer().decode(b"{" + key + b"," + key + b"}")

    assert len(str(caught.value)) < 200


def test_bytes_are_base64_in_json_and_bytes_in_msgpack() -> None:
    json, packed = JsonSerializer(), MsgpackSerializer()

    assert json.decode(json.encode({"b": b"\xff\x00"})) == {"b": "/wA="}
    assert packed.decode(packed.encode({"b": b"\xff\x00"})) == {"b": b"\xff\x00"}


class Colour(Enum):
    RED = "red"


class Size(StrEnum):
    LARGE = "l"


@dataclass
class Line:
    day: dt.date
    tags: Any


class Price(msgspec.Struct):
    total: Decimal


class Ratio(float):
    """As numpy.float64 is one."""


class Count(int):
    pass


class Word(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not what it holds"


# Values for which neither format has a type.
FOREIGN: list[Any] = [
    *(
        dt.date(2026, 3, 1),
        dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC),
        dt.datetime(2026, 3, 1),  # noqa: DTZ001  one without a zone
        dt.time(9, 30),
    ),
    *(dt.timedelta(seconds=90), Decimal("1.50"), UUID(int=5), Colour.RED, Size.LARGE),
    *(Ratio(0.5), Word("a"), Count(3), Word("é"), [Ratio(1)], {"a": (Word("b"), {Count(1)})}),
    *({1}, frozenset((1,)), set(), {(1, 2)}, (1, (2,)), Price(Decimal("2.50"))),
    *(
        Line(dt.date(2026, 3, 1), {1}),
        [{"at": {dt.date(2026, 3, 1)}}],
        {"a": (Line(dt.date(2026, 3, 1), ()),)},
    ),
]


@pytest.mark.parametrize("value", FOREIGN, ids=lambda value: ascii(value)[:40])
def test_what_json_has_no_type_for_is_the_same_text_or_list_in_msgpack(value: Any) -> None:
    json, packed = JsonSerializer(), MsgpackSerializer()

    assert packed.decode(packed.encode({"v": value})) == json.decode(json.encode({"v": value}))


@pytest.mark.parametrize("serializer", [JsonSerializer(), MsgpackSerializer()])
def test_a_value_of_a_subclass_of_text_or_a_number_becomes_one_of_that_type(serializer: Serializer) -> None:
    found = serializer.decode(serializer.encode({"v": [Ratio(0.5), Word("a"), Count(3)]}))["v"]

    assert [(type(value), value) for value in found] == [(float, 0.5), (str, "a"), (int, 3)]


def test_bytes_within_values_of_other_types_stay_bytes_in_msgpack() -> None:
    packed = MsgpackSerializer()
    record = {"v": Line(dt.date(2026, 3, 1), [b"\xff"]), "w": {b"\x00"}}

    assert packed.decode(packed.encode(record)) == {
        "v": {"day": "2026-03-01", "tags": [b"\xff"]},
        "w": [b"\x00"],
    }


class Pair(NamedTuple):
    a: int
    b: int


@pytest.mark.parametrize("key", [(1, 2), frozenset((1,)), ("a",), Pair(1, 2)], ids=repr)
def test_a_list_is_no_key_in_msgpack_wherever_it_is(key: Any) -> None:
    for value in ({key: 1}, {"a": [{key: 1}]}, Line(dt.date(2026, 3, 1), {key: 1})):
        with pytest.raises(EncodeError):
            MsgpackSerializer().encode({"v": value})


class Model(BaseModel):
    n: int = 1


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("record", "in_json", "in_msgpack"),
    [
        (
            {"a": [1, object()]},
            "$.a[1] is of type object, which JSON",
            "$.a[1] is of type object, which msgpack",
        ),
        ({"a": {"b c": "\ud800"}}, "$.a['b c'] holds half a surrogate pair", "$.a['b c'] holds half a"),
        (
            {"a": {None: 1}},
            "the key None in $.a is of type NoneType, which JSON does not have; write `str(",
            "",
        ),
        (
            {"a": Model()},
            f"$.a is of type {__name__}.Model, which JSON does not have; write `.model",
            "$.a",
        ),
        ({"a": Ratio("nan")}, "$.a is not a finite number", ""),
        ({"a": 10**5000}, "$.a is a number of more digits than Python writes", "$.a is a number that is out"),
        ({"a": 10**30}, "", "$.a is a number that is out of range for msgpack"),
        ({"a": endless()}, "it is nested too deeply", "it is nested too deeply"),
    ],
)
def test_what_cannot_be_written_is_named_with_its_place_and_in_our_own_words(
    record: dict[str, Any], in_json: str, in_msgpack: str
) -> None:
    cases = (JsonSerializer(), "JSON", in_json), (MsgpackSerializer(), "msgpack", in_msgpack)
    for serializer, form, why in cases:
        if not why:
            serializer.encode(record)
            continue
        with pytest.raises(EncodeError) as caught:
            serializer.encode(record)
        assert f"the record cannot be written as {form}: {why}" in str(caught.value)


@pytest.mark.parametrize(
    ("serializer", "raw", "why"),
    [
        (JsonSerializer(), b'{"a":"\xff"}', "it is not UTF-8: it holds byte 0xff"),
        (MsgpackSerializer(), b"\x81\xa1a\xa1\xff", "it is not UTF-8: it holds byte 0xff"),
        (MsgpackSerializer(), b"\x81\x91\x01\x01", "a list or a map is used as a key"),
        (MsgpackSerializer(), b"\x91" * 2_000, "it is nested too deeply"),
        (MsgpackSerializer(), b"\x80\x80", "more bytes follow after its end"),
        (MsgpackSerializer(), b"\x81", "it is cut off or damaged"),
    ],
)
def test_what_cannot_be_read_is_told_in_our_own_words(serializer: Serializer, raw: bytes, why: str) -> None:
    with pytest.raises(DecodeError) as caught:
        serializer.decode(raw)

    assert str(caught.value).endswith(f": {why}")


# Many at once


def test_many_are_decoded_at_once_as_each_would_be_alone() -> None:
    serializer = JsonSerializer()
    raws = [serializer.encode({**RECORD, "id": n}) for n in range(3)]

    found = serializer.decode_all(raws)

    assert found == [serializer.decode(raw) for raw in raws]


@pytest.mark.parametrize(
    "raws",
    [
        [b'{"n":1}', b"{"],
        [b'{"n":1}', b"[1]"],
        [b'{"n":1}', b""],
        [b'{"n":1}\n{"n":2}', b""],
        [b'{"n":1},{"n":2', b'"x":3}'],
        [b'{"n":1}{"n":2}', b""],
        [b'{"n":1,"n":2}', b'{"n":3}'],
        [b'{"n":1}', b'{"n":"\xff"}'],
    ],
    ids=[
        "cut off",
        "no object",
        "empty",
        "two and none",
        "two halves",
        "two in one",
        "twice",
        "utf-8",
    ],
)
def test_where_one_of_many_is_not_one_object_each_is_to_be_decoded_alone(
    raws: list[bytes],
) -> None:
    assert JsonSerializer().decode_all(raws) is None


def test_what_this_pipeline_wrote_itself_is_not_searched_for_keys_that_stand_twice() -> None:
    assert JsonSerializer(strict=False).decode_all([b'{"n":1,"n":2}', b'{"n":3}']) == [{"n": 2}, {"n": 3}]


@pytest.mark.parametrize("record", [{"a": {(1, 2): 3}}, {(1, 2): 3}, {"a": [[{"b": {(): 1}}]]}])
def test_msgpack_refuses_a_list_as_a_key_which_nobody_could_read(record: dict[Any, Any]) -> None:
    with pytest.raises(EncodeError, match=r"the key .* is of type tuple, which msgpack does not have"):
        MsgpackSerializer().encode(record)
