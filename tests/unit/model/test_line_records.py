"""Records as lines of JSON: packs that hold whole records, for sinks that write lines."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from rsq_pipe.errors import DecodeError, EncodeError
from rsq_pipe.model.line_records import LineRecords
from rsq_pipe.model.pack import LINES, JsonPacks, MsgpackPacks
from rsq_pipe.model.row_records import joined
from tests.unit.model.test_pack import HUGE, some_records, some_rids

DICTS: list[dict[str, Any]] = [
    {"n": 1, "name": "ada"},
    {"n": 2, "name": None},
    {"n": 3, "tags": ["a\nb", "é"]},
]
RIDS = ["read:1", "read:2", "read:3"]
WRITTEN = '{"n":1,"name":"ada"}\n{"n":2,"name":null}\n{"n":3,"tags":["a\\nb","é"]}\n'.encode()


def read(records: list[dict[str, Any]] = DICTS) -> LineRecords:
    packs = JsonPacks()
    raw = packs.encode(records, [str(n) for n in range(len(records))], {}, whole=True)
    found = packs.decode(raw, as_rows=True).records
    assert isinstance(found, LineRecords)
    return found


def test_line_records_are_the_records_they_would_be_as_dicts() -> None:
    assert len(read()) == 3
    assert read() == DICTS
    assert read()[1] == DICTS[1]
    assert read()[1:] == DICTS[1:]
    assert repr([*read()]) == repr(DICTS)


def test_line_records_stay_lines_until_somebody_asks_for_one_and_may_change_it() -> None:
    records = read()
    before = records.lines

    records[0]["n"] = 7

    assert (before, records.lines) == (WRITTEN, None)
    assert [*records] == [{"n": 7, "name": "ada"}, *DICTS[1:]]
    assert len(records) == 3


def test_a_pack_of_whole_records_is_read_as_any_other() -> None:
    headers = {1: {"traceparent": "00-a-b-01"}}
    raw = JsonPacks().encode(DICTS, RIDS, headers, whole=True)

    for as_rows in (False, True):
        packed = JsonPacks().decode(raw, as_rows=as_rows)
        assert (packed.records, packed.rids, packed.headers) == (DICTS, RIDS, headers)


@pytest.mark.parametrize(
    "records",
    [
        [{"n": 1}, {"n": {"a": 1}}],
        [{"n": 1}, {"n": [{1: "a", "1": "b"}]}],
        [{"n": 1, 1: "a", "1": "b"}],
        [{"n": math.nan}, {"n": None}],
        [{"n": [None, math.inf]}],
        [{"n": "\ud800"}],
        [{"n": object()}],
        [{"n": msgspec.Raw(b"[1,\n2]")}],
        [{"n": 1}, 2],
    ],
    ids=repr,
)
def test_what_might_be_another_line_than_it_would_be_when_read_is_not_written_whole(
    records: list[Any],
) -> None:
    packs, rids = JsonPacks(), [str(n) for n in range(len(records))]
    try:
        expected = packs.encode(records, rids, {})
    except EncodeError:
        with pytest.raises(EncodeError):
            packs.encode(records, rids, {}, whole=True)
        return

    raw = packs.encode(records, rids, {}, whole=True)

    assert not raw.endswith(LINES)
    assert packs.decode(raw, as_rows=True) == packs.decode(expected)


def test_msgpack_writes_nothing_whole() -> None:
    assert MsgpackPacks().encode(DICTS, RIDS, {}, whole=True) == MsgpackPacks().encode(DICTS, RIDS, {})


@pytest.mark.parametrize("seed", range(100))
def test_their_lines_are_those_of_the_records_that_any_pack_of_them_holds(seed: int) -> None:
    draw, packs = random.Random(seed), JsonPacks()
    records = some_records(draw)
    for record in records:
        record["odd"] = draw.choice([Decimal("1.50"), (1, None), b"x", *HUGE])
        for name in [name for name, one in record.items() if isinstance(one, dict | list)]:
            del record[name]
    rids = some_rids(draw, len(records))

    raw = packs.encode(records, rids, {}, whole=True)

    expected = packs.decode(packs.encode(records, rids, {}))
    found = packs.decode(raw, as_rows=True)
    if raw.endswith(LINES):
        assert isinstance(found.records, LineRecords)
        assert found.records.lines == msgspec.json.Encoder().encode_lines(expected.records)
        assert repr([*found.records]) == repr([*expected.records])
        assert found.rids == expected.rids
    else:
        assert repr(found) == repr(expected)
        assert any("{" in text for text in map(repr, [*map(list, map(dict.items, records)), rids]))


@pytest.mark.parametrize(
    "raw",
    [
        b'[null,[1,2],"",["a","b"],{}]\n',
        b'[null,["{}"],"",["a"],{}]\n',
        b'[null,[{}],"",["a","b"],{}]\n',
        b'[null,[{}],"",[1],{}]\n',
        b'[null,[{"a":"\xff"}],"",["a"],{}]\n',
        b'[null,[{"a":01}],"",["a"],{}]\n',
        b'[null,[{}],"",["a"],{"3":{"h":"x"}}]\n',
        b"[null,\n",
    ],
)
def test_bytes_that_are_no_such_pack_are_an_error(raw: bytes) -> None:
    with pytest.raises(DecodeError, match="not a pack of records"):
        JsonPacks().decode(raw, as_rows=True)


@pytest.mark.parametrize(
    "raw",
    [
        b'[null,[{"a":\n1}],"",["a"],{}]\n',
        b'[null,[{"a":2,"a":1}],"",["a"],{}]',
    ],
)
def test_other_packs_of_whole_records_are_read_and_not_taken_for_lines(raw: bytes) -> None:
    packed = JsonPacks().decode(raw, as_rows=True)

    assert not isinstance(packed.records, LineRecords)
    assert packed.records == [{"a": 1}]


def test_lines_behind_lines_are_lines_and_behind_all_else_dicts() -> None:
    whole = joined(joined([], read()), read())

    assert isinstance(whole, LineRecords)
    assert whole.lines == WRITTEN * 2
    assert joined([{"n": 0}], read()) == [{"n": 0}, *DICTS]
    assert joined(read(), [{"n": 0}]) == [*DICTS, {"n": 0}]
    asked = read()
    asked[0]["n"] = 7
    assert joined(asked, read()) == [{"n": 7, "name": "ada"}, *DICTS[1:], *DICTS]
