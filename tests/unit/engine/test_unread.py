"""Entries that no handler sees are dead letters; packs that came back are taken apart."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from rsq_pipe.engine.intake import deliveries
from rsq_pipe.engine.unread import Unread
from rsq_pipe.spec.graph import Graph, Stage, StreamRef
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.settlement import Output
from rsq_pipe.telemetry.observer import StageObserver, headers_of
from tests.unit.engine.given import READ, entry, fields, pack, records
from tests.unit.engine.stages import graph, source, stage

JOIN = stage("join", inputs=(StreamRef("a"), StreamRef("b")))
JOINING = graph(source(), stage("a"), stage("b"), JOIN)


def ends(
    *entries: RawEntry, of: Stage | None = None, within: Graph | None = None
) -> tuple[dict[int, Output], dict[int, list[Output]]]:
    at = of or stage()
    unread = Unread(within or graph(source(), at), at, StageObserver())
    return unread.outputs(unread.unpacker.unpack(entries), entries)


def test_where_all_can_be_processed_nothing_is_left() -> None:
    assert ends(entry(1), pack(2, [2, 3])) == ({}, {})


def test_undecodable_bytes_are_a_dead_letter_raw_with_all_that_came_with_them() -> None:
    came = RawEntry(READ, "7-0", [b"colour", b"red", b"data", b"\xff{", b"rsq-rid", b"read:7"], 2)

    letters, _ = ends(entry(1), came)

    assert list(letters) == [1]
    letter = letters[1]
    assert letter.stream == "{orders}:price:dlq"
    assert b"\xff{" in letter.fields
    why = headers_of(letter.fields)
    assert (why["colour"], why["rsq-rid"], why["rsq-dlq-reason"]) == ("red", "read:7", "decode_error")
    assert (why["rsq-dlq-entry"], why["rsq-dlq-attempts"]) == (f"{READ}/7-0", "2")
    assert why["rsq-dlq-error"].startswith("DecodeError: the data is not a JSON object")


def test_an_undecodable_pack_is_one_dead_letter_of_its_bytes() -> None:
    letters, singles = ends(RawEntry(READ, "7-0", [b"rsq-pack", b"3", b"data", b"{"], 2))

    assert singles == {}
    told = fields(letters[0].fields)
    assert (told["rsq-pack"], told["data"], told["rsq-rid"]) == ("3", "{", f"{READ}:7-0")


def test_what_took_its_worker_down_each_time_is_a_dead_letter_for_that() -> None:
    letters, _ = ends(entry(1, deliveries=6))

    why = fields(letters[0].fields)
    assert (why["rsq-dlq-reason"], why["rsq-dlq-attempts"], why["data"]) == ("max_deliveries", "5", '{"n":1}')
    assert why["rsq-dlq-error"].startswith("handed out 5 times and never finished")


def test_where_the_run_stops_at_a_failure_no_entry_comes_too_often() -> None:
    at = stage(on_error="stop")

    assert ends(entry(1, deliveries=1_000_000), of=at) == ({}, {})
    assert deliveries(stage(retry=replace(at.retry, deliveries=7))) == 7


@pytest.mark.parametrize(
    ("came", "rid"),
    [
        ({"stream": "clicks", "named": False, "rid": "17"}, "clicks:7-0"),
        ({"stream": "{orders}:a"}, "read:7@a"),
        ({"stream": "{orders}:join:again", "rsq_attempts": "1"}, "read:7"),
    ],
    ids=["from outside", "by a branch", "come back"],
)
def test_the_dead_letter_of_an_entry_no_handler_saw_names_the_record(came: Any, rid: str) -> None:
    letters, _ = ends(entry(7, b"{", **came), of=JOIN, within=JOINING)

    found = headers_of(letters[0].fields)
    assert found["rsq-rid"] == rid
    assert [name for name in letters[0].fields if name in {"rsq-rid", b"rsq-rid"}] == ["rsq-rid"]
    assert found.get("rid") == came.get("rid")


def test_a_pack_that_came_back_is_taken_apart_into_the_stages_own_stream() -> None:
    came = pack(1, [1, 2, 3], {1: {"traceparent": "00-a-b-01", "rsq-attempts": "2"}}, deliveries=2)

    letters, singles = ends(entry(9), came)

    assert letters == {}
    assert list(singles) == [1]
    assert records(singles[1]) == [
        ("{orders}:price:again", {"n": 1}, {"rsq-rid": "read:1"}),
        ("{orders}:price:again", {"n": 2}, {"rsq-rid": "read:2", "traceparent": "00-a-b-01"}),
        ("{orders}:price:again", {"n": 3}, {"rsq-rid": "read:3"}),
    ]


def test_what_a_pack_is_taken_apart_into_has_the_ids_of_its_branch_and_keeps_them() -> None:
    came = pack(1, [1, 2], stream="{orders}:a", deliveries=2)

    _, singles = ends(came, of=JOIN, within=JOINING)

    assert [given["rsq-rid"] for _, _, given in records(singles[0])] == ["read:1@a", "read:2@a"]
    back = [
        RawEntry(out.stream, f"{n}-0", [one.encode() if isinstance(one, str) else one for one in out.fields])
        for n, out in enumerate(singles[0])
    ]
    assert Unread(JOINING, JOIN, StageObserver()).unpacker.unpack(back).batch.rids == ["read:1@a", "read:2@a"]


def test_many_such_entries_are_told_of_in_few_lines_and_none_is_left_out() -> None:
    pipeline = graph(source(), stage())
    unread = Unread(pipeline, stage(), StageObserver())
    with capture_logs() as lines:
        for number in range(1, 100):
            bad = [entry(number, b"{")]
            unread.outputs(unread.unpacker.unpack(bad), bad)
        unread.flush()
        unread.flush()

    assert len(lines) == 2
    assert sum(line["records"] for line in lines) == 99
    assert lines[0]["entry"] == f"{READ}/1-0"
    assert lines[0]["reason"] == "decode_error"


def test_a_secret_in_an_error_is_not_in_the_dead_letter() -> None:
    came, at = entry(7), stage()
    unread = Unread(graph(source(), at), at, StageObserver())
    unpacked = unread.unpacker.unpack([came])
    unpacked.unread[0] = ValueError(
        "no service at redis://user:hush-hush@host"
    )  # a serializer may raise anything

    letters, _ = unread.outputs(unpacked, [came])

    assert headers_of(letters[0].fields)["rsq-dlq-error"] == "ValueError: no service at redis://user:***@host"
