"""What the other serializer wrote, before the file was changed, is written anew; nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.engine.encoding.codecs import FormerSerializer, Unfolding, before, packs, serializer
from rsq_pipe.engine.former_entries import FormerEntries
from rsq_pipe.errors import DecodeError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.entry import RawEntry
from tests.unit.engine.given import pipeline

STAGES = """
    a: {source: {type: jsonl, path: '*.jsonl'}}
    b: {source: {type: jsonl, path: '*.jsonl'}}
    both: {join: {left: a, right: b, on: n}}
    out: {from: [both, {stream: outside}], sink: {type: stdout}}
"""
RECORD = {"n": 1, "deep": [{"a": None}], "text": "ä"}


@pytest.fixture(params=["json", "msgpack"])
def graph(request: pytest.FixtureRequest, tmp_path: Path) -> Graph:
    return pipeline(tmp_path, STAGES, top=f"serializer: {request.param}")


def singles(graph: Graph, stage: str, stream: str, *fields: bytes) -> Any:
    entries = FormerEntries(graph, graph.stage(stage), 5)
    found = entries.singles(RawEntry(stream, "5-0", list(fields), 1))
    return found and [(serializer(graph).decode(raw), headers) for raw, headers in found]


def test_a_pack_becomes_single_entries_that_keep_ids_headers_and_the_side_of_a_join(graph: Graph) -> None:
    pack = packs(before(graph)).encode([RECORD, {"n": 2}], ["b:1", "b:2"], {1: {"tenant": "x"}})

    assert singles(graph, "both", "{orders}:b", b"rsq-pack", b"2", b"data", pack) == [
        (RECORD, {"rsq-rid": "b:1", "rsq-input": "right"}),
        ({"n": 2}, {"rsq-rid": "b:2", "tenant": "x", "rsq-input": "right"}),
    ]


def test_packs_of_either_form_are_shown_record_by_record(graph: Graph) -> None:
    for own in (graph, before(graph)):
        raw = packs(own).encode([RECORD, {"n": 2}], ["b:1", "b:2"], {})
        pack = RawEntry("{orders}:b", "5-0", [b"rsq-pack", b"2", b"data", raw], 1)

        found = Unfolding(graph).singles(pack)

        assert [serializer(own).decode(entry.data) for entry in found] == [RECORD, {"n": 2}]
        assert [entry.headers["rsq-rid"] for entry in found] == ["b:1", "b:2"]


def test_a_single_record_is_treated_as_one_of_a_pack(graph: Graph) -> None:
    raw = serializer(before(graph)).encode(RECORD)
    fields = (b"data", raw, b"rsq-rid", b"a:7", b"tenant", b"x", b"rsq-attempts", b"2")

    assert singles(graph, "both", "{orders}:a", *fields) == [
        (RECORD, {"rsq-rid": "a:7", "tenant": "x", "rsq-input": "left"})
    ]


def test_a_retry_keeps_its_attempts(graph: Graph) -> None:
    raw = serializer(before(graph)).encode(RECORD)

    assert singles(
        graph, "both", "{orders}:both:again", b"data", raw, b"rsq-rid", b"a:7", b"rsq-attempts", b"2"
    ) == [(RECORD, {"rsq-rid": "a:7", "rsq-attempts": "2"})]


@pytest.mark.parametrize("data", [b"", b"no record", b"\xff", b"[1]"])
def test_what_is_no_record_in_either_form_is_left(graph: Graph, data: bytes) -> None:
    assert singles(graph, "both", "{orders}:a", b"data", data) is None
    assert singles(graph, "both", "{orders}:both:again", b"data", data) is None
    assert singles(graph, "both", "{orders}:a", b"rsq-pack", b"1", b"data", data) is None


def test_what_outsiders_write_in_another_form_is_left(graph: Graph) -> None:
    assert singles(graph, "out", "outside", b"data", serializer(before(graph)).encode(RECORD)) is None


def test_a_number_that_the_new_form_does_not_have_is_left(tmp_path: Path) -> None:
    graph = pipeline(tmp_path, STAGES, top="serializer: msgpack")

    assert singles(graph, "both", "{orders}:a", b"data", b'{"n": 18446744073709551616}') is None


def test_records_that_wait_are_read_in_either_form_and_written_in_the_new_one(graph: Graph) -> None:
    form = FormerSerializer(graph)

    assert form.encode(RECORD) == serializer(graph).encode(RECORD)
    assert form.decode(serializer(graph).encode(RECORD)) == RECORD
    assert form.decode(serializer(before(graph)).encode(RECORD)) == RECORD
    with pytest.raises(DecodeError, match="not a JSON" if graph.serializer == "json" else "not a msgpack"):
        form.decode(b"no record")
