"""Entries become one batch of records, each with one id in every attempt and only believable headers."""

from __future__ import annotations

from typing import Any

import pytest

from rsq_pipe.engine.packing import Unpacked, Unpacker
from rsq_pipe.errors import DecodeError
from rsq_pipe.model.delivery import Delivery
from rsq_pipe.model.row_records import RowRecords
from rsq_pipe.spec.graph import Graph, Stage, StreamRef
from rsq_pipe.streams.entry import RawEntry
from tests.unit.engine.given import READ, entry, failed_before, pack
from tests.unit.engine.stages import graph, source, stage

AGAIN = "{orders}:price:again"
OUTSIDE = (StreamRef("clicks", external=True), StreamRef("views", external=True))
JOIN = stage("join", inputs=(StreamRef("a"), StreamRef("b")))
JOINING = graph(source(), stage("a"), stage("b"), JOIN)


def unpacked(*entries: RawEntry, of: Stage | None = None, within: Graph | None = None) -> Unpacked:
    at = of or stage()
    return Unpacker(within or graph(source(), at), at, 5).unpack(entries)


def read(
    stream: str, of: Stage | None = None, within: Graph | None = None, /, **given: Any
) -> dict[str, str]:
    """All headers of a record that was read with these from entry 7-0."""
    came = entry(7, stream=stream, **given, named=False)
    batch = unpacked(came, of=of, within=within).batch
    attempts = {"rsq-attempts": str(batch.attempts[0])} if 0 in batch.attempts else {}
    return {"rsq-rid": batch.rids[0], **attempts, **batch.headers.get(0, {})}


# Packs and single entries


PACKS_AND_SINGLES = [
    pack(1, [1, 2], {1: {"a": "2"}}),
    entry(3),
    failed_before(4, 2, rsq_replay_link="00-x"),
    pack(5, [5, 6, 7], {0: {"a": "5"}, 2: {"a": "7"}}),
]


def test_packs_and_single_entries_are_one_batch_in_order() -> None:
    found = unpacked(*PACKS_AND_SINGLES)

    check_packs_and_singles(found)


def test_packs_and_single_entries_that_may_stay_rows_are_the_same_batch() -> None:
    at = stage()
    unpacker = Unpacker(graph(source(), at), at, 5, as_rows=True)

    check_packs_and_singles(unpacker.unpack(PACKS_AND_SINGLES))
    rows = unpacker.unpack([pack(1, [1, 2]), pack(5, [5, 6, 7])]).batch

    assert isinstance(rows.records, RowRecords)
    assert rows.records.rows is not None
    assert [record["n"] for record in rows.records] == [1, 2, 5, 6, 7]


def check_packs_and_singles(found: Unpacked) -> None:
    batch = found.batch
    assert [record["n"] for record in batch.records] == [1, 2, 1, 1, 5, 6, 7]
    assert batch.rids == [f"read:{n}" for n in range(1, 8)]
    assert list(batch.origins) == [0, 0, 1, 2, 3, 3, 3]
    assert batch.headers == {1: {"a": "2"}, 3: {"rsq-replay-link": "00-x"}, 4: {"a": "5"}, 6: {"a": "7"}}
    assert batch.attempts == {3: 2}
    assert [(one.stream, one.id, one.deliveries) for one in batch.deliveries] == [
        Delivery(READ, "1-0", 1),
        Delivery(READ, "3-0", 1),
        Delivery(AGAIN, "4-0", 1),
        Delivery(READ, "5-0", 1),
    ]
    assert (found.sizes, found.unread, found.returned) == ([2, 1, 1, 3], {}, [])


def test_entries_of_one_record_each_are_one_batch_whatever_the_last_of_them_is() -> None:
    """They are decoded at once, or one by one where one is another: what comes of them is the same."""
    entries = [entry(n, {"n": n}) for n in range(1, 4)]

    at_once, one_by_one = unpacked(*entries), unpacked(*entries, failed_before(9, 2))

    assert at_once.batch.records == one_by_one.batch.records[:3] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert at_once.batch.rids == one_by_one.batch.rids[:3] == ["read:1", "read:2", "read:3"]
    assert list(at_once.batch.origins) == list(one_by_one.batch.origins)[:3] == [0, 1, 2]
    assert at_once.batch.deliveries == one_by_one.batch.deliveries[:3]
    assert at_once.sizes == one_by_one.sizes[:3] == [1, 1, 1]
    assert [at_once.batch.original(n) for n in range(3)] == [one.data for one in entries]


def test_of_entries_of_one_record_each_the_one_that_cannot_be_read_ends_alone() -> None:
    found = unpacked(entry(1), entry(2, b'{"n":1}\n{"n":2}'), entry(3, b""), entry(4))

    assert found.batch.rids == ["read:1", "read:4"]
    assert sorted(found.unread) == [1, 2]
    assert found.sizes == [1, 1, 1, 1]


def test_a_record_knows_the_entry_it_came_in() -> None:
    batch = unpacked(pack(1, [1, 2]), entry(3, deliveries=2)).batch

    found = [batch.delivery_at(place) for place in range(3)]
    assert [(one.id, one.deliveries) for one in found if one] == [("1-0", 1), ("1-0", 1), ("3-0", 2)]


def test_original_bytes_are_those_that_came_whatever_a_handler_did_to_the_record() -> None:
    batch = unpacked(entry(1, b'{ "n" : 1.10 }'), pack(2, [2, 3]), entry(4), pack(5, [5, 6])).batch
    for record in batch.records:
        record["n"] = "changed"

    assert [batch.original(place) for place in range(len(batch))] == [
        *(b'{ "n" : 1.10 }', b'{"n":2}', b'{"n":3}'),
        *(b'{"n":1}', b'{"n":5}', b'{"n":6}'),
    ]


def test_part_of_a_batch_tells_the_bytes_of_its_own_records() -> None:
    batch = unpacked(pack(1, [1, 2, 3]), entry(4, {"n": 4})).batch.only([3, 1])

    assert (batch.original(0), batch.original(1)) == (b'{"n":4}', b'{"n":2}')
    assert (batch.rids, batch.origins) == (["read:4", "read:2"], [1, 0])


# What no handler sees


def test_a_pack_that_was_handed_out_before_is_returned_whole() -> None:
    found = unpacked(entry(1), pack(2, [2, 3, 4], deliveries=2), pack(5, [5, 6]))

    assert found.returned == [1]
    assert found.batch.rids == ["read:1", "read:5", "read:6"]
    assert (list(found.batch.origins), found.sizes) == ([0, 2, 2], [1, 3, 2])
    assert found.batch.original(1) == b'{"n":5}'


def test_a_single_entry_that_came_back_is_processed_until_it_came_too_often() -> None:
    found = unpacked(entry(1, deliveries=5), entry(2, deliveries=6))

    assert found.batch.rids == ["read:1"]
    assert list(found.unread) == [1]
    assert found.unread[1] == (
        "handed out 5 times and never finished: its handler failed, hung or took its worker down each time"
    )
    assert found.sizes == [1, 1]


BROKEN_PACKS: dict[str, bytes] = {
    "no JSON": b"{",
    "no pack": b'{"n":1}',
    "a record that is none": b'[null,[1,{}],"",["a","b"],{}]',
    "too few ids": b'[null,[{},{}],"",["a"],{}]',
    "an id that is not text": b'[null,[{},{}],"",[1,2],{}]',
    "an id that is not text behind a prefix": b'[null,[{},{}],"a",[1,2],{}]',
    "a row too short": b'[["a","b"],[[1],[2]],"",["a","b"],{}]',
    "headers that are none": b'[null,[{},{}],"",["a","b"],{"x":{}}]',
    "headers that are a text": b'[null,[{},{}],"",["a","b"],{"0":"x"}]',
    "headers of no record": b'[null,[{},{}],"",["a","b"],{"2":{"x":"y"}}]',
    "a header that is not text": b'[null,[{},{}],"",["a","b"],{"0":{"x":1}}]',
}


@pytest.mark.parametrize("deliveries", [1, 2, 9])
@pytest.mark.parametrize("raw", BROKEN_PACKS.values(), ids=BROKEN_PACKS)
def test_a_pack_that_cannot_be_read_is_a_dead_letter_for_that_however_often_it_came(
    raw: bytes, deliveries: int
) -> None:
    broken = RawEntry(READ, "2-0", [b"rsq-pack", b"2", b"data", raw], deliveries)

    found = unpacked(pack(1, [1]), broken, entry(3))

    assert list(found.unread) == [1]
    assert isinstance(found.unread[1], DecodeError)
    assert (found.batch.rids, found.batch.headers, found.returned) == (["read:1", "read:3"], {}, [])
    assert (list(found.batch.origins), found.sizes) == ([0, 2], [1, 2, 1])


@pytest.mark.parametrize("deliveries", [1, 9])
def test_what_cannot_be_decoded_is_a_dead_letter_for_that_however_often_it_came(deliveries: int) -> None:
    bad = [
        entry(1, b"{", deliveries=deliveries),
        entry(2, b"[1]", deliveries=deliveries),
        RawEntry(READ, "3-0", [b"rsq-rid", b"read:3"], deliveries),
    ]

    found = unpacked(*bad, entry(4))

    assert all(isinstance(found.unread[place], DecodeError) for place in range(3))
    assert "has no field 'data'" in str(found.unread[2])
    assert found.batch.rids == ["read:4"]


def test_what_a_pack_says_beside_its_records_is_not_believed() -> None:
    theirs = {"rsq-attempts": "2", "rsq-rid": "x", "rsq-replay-link": "00-x", "colour": "red"}

    found = unpacked(pack(1, [1, 2], {0: theirs}))

    assert (found.batch.rids, found.batch.attempts) == (["read:1", "read:2"], {})
    assert found.batch.headers == {0: {"colour": "red"}}


def test_an_entry_from_outside_that_says_it_is_a_pack_is_one_record_or_none() -> None:
    record = RawEntry("clicks", "2-0", [b"rsq-pack", b"999", b"data", b'{"n":1}'], 2)

    found = unpacked(pack(1, [1, 2], stream="clicks"), record, of=stage(inputs=OUTSIDE))

    assert (found.batch.rids, found.sizes, found.returned) == (["clicks:2-0"], [1, 1], [])
    assert isinstance(found.unread[0], DecodeError)


@pytest.mark.parametrize(("inputs", "refused"), [((StreamRef("read"),), False), (OUTSIDE, True)])
def test_only_what_comes_from_outside_is_searched_for_keys_that_stand_twice(
    inputs: tuple[StreamRef, ...], refused: bool
) -> None:
    found = unpacked(entry(1, b'{"n":1,"n":2}'), of=stage(inputs=inputs))

    assert bool(found.unread) is refused


# Ids and headers


def test_a_record_from_outside_is_named_after_its_stream_and_entry() -> None:
    assert read("clicks") == {"rsq-rid": "clicks:7-0"}
    assert read("views", colour="red") == {"rsq-rid": "views:7-0", "colour": "red"}


def test_a_record_keeps_its_id_when_it_comes_back() -> None:
    again = read(AGAIN, rsq_rid="clicks:7-0", rsq_attempts="1", colour="red")

    assert again == {"rsq-rid": "clicks:7-0", "rsq-attempts": "1", "colour": "red"}


def test_an_outsider_may_name_its_records_and_nothing_else() -> None:
    theirs = {"attempts": "7", "rid": "17"}

    named = read("clicks", **theirs, rsq_rid="shop:1", rsq_attempts="7", rsq_replay_link="00-x")

    assert named == {"rsq-rid": "shop:1", **theirs}
    assert read("clicks", rsq_rid="") == {"rsq-rid": "clicks:7-0"}


def test_attempts_are_those_of_this_stage() -> None:
    assert read(READ, rsq_rid="read:1", rsq_attempts="2") == {"rsq-rid": "read:1"}
    assert read("{orders}:other:again", rsq_rid="read:1", rsq_attempts="2") == {"rsq-rid": "read:1"}


@pytest.mark.parametrize("text", ["many", "-1", "1.5", "", "1" * 10])
def test_attempts_that_are_no_number_are_none(text: str) -> None:
    assert read(AGAIN, rsq_rid="read:1", rsq_attempts=text) == {"rsq-rid": "read:1"}


def test_the_headers_of_an_old_dead_letter_stay_until_the_stage_is_done_with_the_record() -> None:
    assert read(AGAIN, rsq_rid="read:1", rsq_dlq_reason="timeout")["rsq-dlq-reason"] == "timeout"


def test_branches_of_one_record_differ_in_every_attempt() -> None:
    ways = [read(f"{{orders}}:{name}", JOIN, JOINING, rsq_rid="read:1") for name in ("a", "b")]

    assert ways == [{"rsq-rid": "read:1@a"}, {"rsq-rid": "read:1@b"}]
    again = read("{orders}:join:again", JOIN, JOINING, rsq_rid="read:1@a", rsq_attempts="1")
    assert again == {"rsq-rid": "read:1@a", "rsq-attempts": "1"}


def test_packed_records_of_branches_differ_too() -> None:
    came = [pack(1, [1, 2], stream="{orders}:a"), pack(2, [1, 2], stream="{orders}:b")]

    assert unpacked(*came, of=JOIN, within=JOINING).batch.rids == [
        *("read:1@a", "read:2@a"),
        *("read:1@b", "read:2@b"),
    ]


def test_what_the_release_before_wrote_is_read_as_it_was_meant() -> None:
    old: dict[str, Any] = {"rid": "read:1", "attempts": "2", "replay_link": "00-x"}

    assert read(READ, **old, colour="red") == {"rsq-rid": "read:1", "colour": "red"}
    assert read(AGAIN, **old) == {"rsq-rid": "read:1", "rsq-attempts": "2", "rsq-replay-link": "00-x"}
    assert read("{orders}:read:dlq", **old, dlq_error="E: no") == {
        "rsq-rid": "read:1",
        "rsq-dlq-error": "E: no",
    }
