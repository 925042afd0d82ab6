"""Packs: what records hold comes out as it went in, or is refused; bytes that are not a pack are an error."""

from __future__ import annotations

import datetime as dt
import json
import math
import random
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from rsq_pipe.errors import DecodeError, EncodeError
from rsq_pipe.model.pack import JsonPacks, MsgpackPacks, Packs, compressed
from rsq_pipe.streams.serializers import JsonSerializer, MsgpackSerializer, Serializer

Draw = Callable[[random.Random], Any]

TEXTS = ["", "null", '"null"', "ä", "\x00", "\U0001f600", "\u2028", "a" * 300, "null,null", "\\", '"', "1"]
INTEGERS = [0, 1, -1, 2**31, 2**53 + 1, -(2**63), 2**63 - 1, 2**64 - 1]
HUGE = [2**64, -(2**63) - 1, 10**40]
FLOATS = [0.0, -0.0, 0.1, -1.5, 1e300, 5e-324, 1.0, 1e16, 123456789.123]
NAMES = [*TEXTS, "n", "id", "total"]


@pytest.fixture(params=["json", "msgpack"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def packs(kind: str) -> Packs:
    return JsonPacks() if kind == "json" else MsgpackPacks()


@pytest.fixture
def single(kind: str) -> Serializer:
    return JsonSerializer() if kind == "json" else MsgpackSerializer()


def value(draw: random.Random, depth: int = 0) -> Any:
    """Anything a record may hold."""
    kinds: list[Callable[[], Any]] = [
        lambda: None,
        lambda: draw.random() < 0.5,
        lambda: draw.choice(INTEGERS),
        lambda: draw.choice(FLOATS),
        lambda: draw.choice(TEXTS),
        lambda: draw.uniform(-1e9, 1e9),
    ]
    if depth < 3:
        kinds += [
            lambda: [value(draw, depth + 1) for _ in range(draw.randint(0, 3))],
            lambda: {draw.choice(NAMES): value(draw, depth + 1) for _ in range(draw.randint(0, 3))},
        ]
    return draw.choice(kinds)()


def some_records(draw: random.Random) -> list[dict[str, Any]]:
    """Records of one shape, or of several, or nearly of one."""
    names = draw.sample(NAMES, draw.randint(0, 5))
    made = [{name: value(draw) for name in names} for _ in range(draw.choice([1, 2, 3, 20]))]
    match draw.randint(0, 3):
        case 0:
            made[-1]["further"] = value(draw)
        case 1:
            made[-1] = dict(reversed(made[-1].items()))
        case 2:
            made[0] = {}
    return made


def some_rids(draw: random.Random, count: int) -> list[str]:
    start = draw.choice(["", "read:", "read:a.jsonl:12", "ä:", "null"])
    return [f"{start}{draw.choice(['', '.0', '@a'])}{draw.randint(0, 9)}" for _ in range(count)]


def exact(value: Any) -> Any:
    """Tell apart what Python holds for equal: 1, 1.0 and True, 0.0 and -0.0, the order of fields."""
    if isinstance(value, dict):
        return ["dict", *((name, exact(inner)) for name, inner in value.items())]
    if isinstance(value, list):
        return ["list", *map(exact, value)]
    return type(value), repr(value)


@pytest.mark.parametrize("seed", range(300))
def test_records_ids_and_headers_come_out_as_they_went_in(packs: Packs, seed: int) -> None:
    draw = random.Random(seed)
    records = some_records(draw)
    rids = some_rids(draw, len(records))
    headers = {
        place: {draw.choice(TEXTS): draw.choice(TEXTS)}
        for place in range(len(records))
        if draw.random() < 0.2
    }

    packed = packs.decode(packs.encode(records, rids, headers))

    assert exact(packed.records) == exact(records)
    assert (packed.rids, packed.headers) == (rids, headers)


@pytest.mark.parametrize("seed", range(100))
def test_a_pack_holds_what_its_records_are_when_each_is_written_alone(
    packs: Packs, single: Serializer, seed: int
) -> None:
    draw = random.Random(seed)
    odd: list[Draw] = [
        *(lambda _: dt.date(2024, 1, 2), lambda _: dt.datetime(2024, 1, 2, tzinfo=dt.UTC)),
        *(lambda _: Decimal("1.50"), lambda _: b"\x00x", lambda _: (1, (2, None)), lambda _: {1}),
        *(lambda _: float("nan"), lambda _: [float("inf")], lambda _: "\ud800", lambda _: object()),
        *(lambda _: {1: "a"}, lambda _: {"\udcff": 1}, lambda d: d.choice(HUGE), lambda _: dt.timedelta(1)),
    ]
    records = some_records(draw)
    for record in draw.sample(records, min(len(records), 2)):
        record[draw.choice(["x", "n"])] = draw.choice(odd)(draw)

    alone = [_alone(single, record) for record in records]

    if None in alone:
        with pytest.raises(EncodeError):
            packs.encode(records, some_rids(draw, len(records)), {})
    else:
        packed = packs.decode(packs.encode(records, some_rids(draw, len(records)), {}))
        assert repr(packed.records) == repr(alone)


def _alone(single: Serializer, record: dict[str, Any]) -> Any:
    try:
        return single.decode(single.encode(record))
    except EncodeError:
        return None


@pytest.mark.parametrize("number", HUGE)
def test_whole_numbers_of_any_size_are_json_and_those_of_64_bits_are_msgpack(number: int) -> None:
    assert JsonPacks().decode(JsonPacks().encode([{"n": number}], ["a"], {})).records == [{"n": number}]
    with pytest.raises(EncodeError, match="msgpack"):
        MsgpackPacks().encode([{"n": number}], ["a"], {})


NAN = float("nan")
WITH_NAN: list[Any] = [
    [{"n": NAN}],
    [{"n": None}, {"n": NAN}],
    [{"n": None, "text": "null"}, {"n": "null", "text": NAN}],
    [{"n": NAN}, {"m": 1}],
    [{"n": [None, {"x": NAN}]}, {"n": None}],
    [{"null": None}, {"null": math.inf}],
    [{}, {"n": -math.inf}],
    [{"n": (NAN,)}],
]


@pytest.mark.parametrize("records", WITH_NAN, ids=repr)
def test_a_number_that_is_none_is_refused_by_json_wherever_it_stands(records: list[dict[str, Any]]) -> None:
    with pytest.raises(EncodeError, match="is not a finite number"):
        JsonPacks().encode(records, [str(n) for n in range(len(records))], {})


def test_msgpack_has_a_form_for_it() -> None:
    packed = MsgpackPacks().decode(MsgpackPacks().encode([{"n": float("nan")}], ["a"], {}))

    assert math.isnan(packed.records[0]["n"])


@pytest.mark.parametrize(
    "records",
    [
        [{"n": None}, {"n": "null"}],
        [{"n": None}, {}],
        [{"null": 1}, {"null": None}],
        [{"n": [None, "null"]}, {"n": None}],
        [{"n": "\\u006eull null"}],
    ],
    ids=repr,
)
def test_nothing_and_the_word_for_it_are_no_such_number(packs: Packs, records: list[dict[str, Any]]) -> None:
    rids = ["null" * n for n in range(len(records))]

    assert packs.decode(packs.encode(records, rids, {0: {"null": "null"}})).records == records


@pytest.mark.parametrize("bad", [OrderedDict(n=1), [1], "text", None, 5], ids=repr)
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_dict_is_no_record(packs: Packs, bad: Any, place: int) -> None:
    records: list[Any] = [{"n": 1}, {"n": 2}]
    records[place] = bad

    with pytest.raises(EncodeError):
        packs.encode(records, ["a", "b"], {})


def test_fields_that_all_records_have_in_one_order_are_named_once() -> None:
    raw = JsonPacks().encode([{"n": 1, "m": 2}, {"n": 3, "m": 4}], ["read:7", "read:8"], {1: {"h": "x"}})

    assert json.loads(raw) == [["n", "m"], [[1, 2], [3, 4]], "read:", ["7", "8"], {"1": {"h": "x"}}]


def test_records_of_different_shapes_are_written_as_they_are() -> None:
    raw = JsonPacks().encode([{"n": 1}, {"m": 2}], ["a", "b"], {})

    assert json.loads(raw) == [None, [{"n": 1}, {"m": 2}], "", ["a", "b"], {}]


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"1", b'"text"', b"\xff", b'[null,[{}],"",["a"]]', b'[["n"],[[1,2]],"",["a"],{}]'],
)
@pytest.mark.parametrize("as_rows", [False, True])
def test_bytes_that_are_no_pack_are_an_error_that_holds_them(
    packs: Packs, raw: bytes, *, as_rows: bool
) -> None:
    with pytest.raises(DecodeError, match="the entry is not a pack of records") as caught:
        packs.decode(raw, as_rows=as_rows)

    assert raw in caught.value.args or getattr(caught.value, "raw", raw) == raw


def test_ids_that_are_one_text_are_refused_before_the_ids_of_the_next_pack_are_appended() -> None:
    with pytest.raises(DecodeError, match="2 records with 2 ids"):
        JsonPacks().decode(b'[["n"],[[1],[2]],"read:","ab",{}]')


@pytest.mark.parametrize("as_rows", [False, True])
@pytest.mark.parametrize("seed", range(100))
def test_a_pack_that_was_damaged_is_read_or_refused_and_raises_nothing_else(
    packs: Packs, seed: int, *, as_rows: bool
) -> None:
    draw = random.Random(seed)
    records = some_records(draw)
    raw = bytearray(packs.encode(records, some_rids(draw, len(records)), {0: {"h": "x"}}))
    for _ in range(draw.randint(1, 3)):
        raw[draw.randrange(len(raw))] = draw.randrange(256)

    try:
        packed = packs.decode(bytes(raw), as_rows=as_rows)
    except DecodeError:
        return
    assert all(type(record) is dict for record in packed.records)
    assert all(type(rid) is str for rid in packed.rids)
    assert len(packed.records) == len(packed.rids)
    assert all(0 <= place < len(packed.records) for place in packed.headers)


def test_a_compressed_pack_is_read_as_the_one_it_was(packs: Packs) -> None:
    draw = random.Random(5)
    records = [{"n": n, "x": value(draw)} for n in range(200)]
    rids = [f"read:{n}" for n in range(200)]
    raw = packs.encode(records, rids, {3: {"a": "b"}})

    small = compressed(raw)

    assert len(small) < len(raw)
    assert packs.decode(small) == packs.decode(raw)


@pytest.mark.parametrize(
    "raw",
    [b"\x78\x01", b"\x78\x01nothing", compressed(b"[1,2,3]")[:-3], compressed(b"\0" * 20_000_000), b""],
    ids=["empty", "other", "cut", "bomb", "nothing"],
)
def test_what_only_begins_like_a_compressed_pack_is_none(packs: Packs, raw: bytes) -> None:
    with pytest.raises(DecodeError):
        packs.decode(raw)


def test_a_list_as_a_key_is_refused_before_it_harms_the_other_records(packs: Packs) -> None:
    records: list[dict[str, Any]] = [{"a": {(1, 2): 3}}, {"a": 1}]
    with pytest.raises(EncodeError):
        packs.encode(records, ["r:1", "r:2"], {})
