"""Packs taken apart into the entries they stand for."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.encoding.codecs import unfolded
from rsq_pipe.model.pack import JsonPacks, MsgpackPacks, Packs
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.serializers import JsonSerializer, MsgpackSerializer, Serializer

RECORDS = [{"n": 2**70, "text": "ä"}, {"other": None}]


@pytest.fixture(params=["json", "msgpack"])
def codecs(request: pytest.FixtureRequest) -> tuple[Packs, Serializer]:
    return (
        (JsonPacks(), JsonSerializer()) if request.param == "json" else (MsgpackPacks(), MsgpackSerializer())
    )


def test_a_pack_is_as_many_entries_as_it_holds_records() -> None:
    packs = JsonPacks()
    raw = packs.encode(RECORDS, ["read:1", "read:2.0"], {1: {"tenant": "a"}})
    pack = RawEntry("{p}:read", "5-0", [b"rsq-pack", b"2", b"data", raw], 3)

    found = unfolded(pack, packs, JsonSerializer())

    assert [JsonSerializer().decode(entry.data) for entry in found] == RECORDS
    assert [dict(entry.headers) for entry in found] == [
        {"rsq-rid": "read:1"},
        {"rsq-rid": "read:2.0", "tenant": "a"},
    ]
    assert {(entry.stream, entry.id, entry.deliveries, entry.is_pack) for entry in found} == {
        ("{p}:read", "5-0", 3, False)
    }


def test_what_a_record_holds_comes_out_as_it_went_in(codecs: tuple[Packs, Serializer]) -> None:
    packs, serializer = codecs
    records = [{"n": 1, "deep": [{"a": None}], "text": "ä\x00"}, {"n": -1.5}]
    pack = RawEntry("s", "1-0", [b"rsq-pack", b"2", b"data", packs.encode(records, ["a", "b"], {})])

    assert [serializer.decode(entry.data) for entry in unfolded(pack, packs, serializer)] == records


@pytest.mark.parametrize(
    "fields",
    [
        [b"data", b'{"n":1}', b"rsq-rid", b"read:1"],
        [b"rsq-rid", b"read:1", b"data", b'{"n":1}'],
        [b"rsq-pack", b"2", b"data", b"no pack"],
        [b"rsq-pack", b"1", b"data", b'[null,[1],"",["a"],{}]'],
        [b"rsq-pack", b"1", b"data", b'[null,[{}],"",[1],{}]'],
        [b"rsq-pack", b"1"],
    ],
)
def test_an_entry_that_cannot_be_read_as_a_pack_is_itself(fields: list[bytes]) -> None:
    entry = RawEntry("s", "1-0", fields)

    assert unfolded(entry, JsonPacks(), JsonSerializer()) == [entry]
