"""What a source brings is entered under its id, with headers that are not the system's."""

from __future__ import annotations

import pytest
import structlog
from structlog.testing import capture_logs

from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.engine.sources.arrivals import Arrivals, Arrived
from rsq_pipe.telemetry.observer import headers_of
from tests.unit.engine.given import fields
from tests.unit.engine.stages import graph, source


def arrived(*came: Arrival) -> Arrived:
    read = source()
    return Arrivals(graph(read), read, "read", structlog.get_logger()).batch(Chunk.of(came, "9"))


def test_each_record_is_named_after_its_offset() -> None:
    batch = arrived(Arrival("in:1", {"n": 1}), Arrival("in:2", {"n": 2})).batch

    assert (batch.records, batch.rids) == ([{"n": 1}, {"n": 2}], ["read:in:1", "read:in:2"])
    assert (list(batch.origins), batch.deliveries, batch.headers, batch.attempts) == ([0, 0], (), {}, {})
    assert batch.delivery_at(1) is None


def test_an_arrival_with_a_header_of_the_systems_is_a_dead_letter() -> None:
    came = [(("colour", "red"),), (("rsq-rid", "mine"),), (("data", "x"),), ()]

    found = arrived(*(Arrival(f"in:{n}", {"n": n}, headers=given) for n, given in enumerate(came)))

    assert found.batch.rids == ["read:in:0", "read:in:3"]
    assert found.batch.headers == {0: {"colour": "red"}}
    assert [headers_of(letter.fields)["rsq-rid"] for letter in found.dead] == ["read:in:1", "read:in:2"]
    assert "'rsq-rid'" in headers_of(found.dead[0].fields)["rsq-dlq-error"]


def test_what_cannot_be_read_is_a_dead_letter_of_the_source_with_its_bytes() -> None:
    found = arrived(Arrival("in:1", None, b"{", "it ends too early"), Arrival("in:2", {"n": 2}))

    (letter,) = found.dead
    assert letter.stream == "{orders}:read:dlq"
    told = fields(letter.fields)
    assert {name: told[name] for name in told if name != "rsq-dlq-at"} == {
        "data": "{",
        "rsq-rid": "read:in:1",
        "rsq-dlq-reason": "decode_error",
        "rsq-dlq-error": "it ends too early",
        "rsq-dlq-traceback": "",
        "rsq-dlq-stage": "read",
        "rsq-dlq-attempts": "1",
        "rsq-dlq-entry": "read/in:1",
    }
    assert found.batch.rids == ["read:in:2"]


@pytest.mark.parametrize(
    ("arrival", "raw"),
    [
        (Arrival("in:1", {"n": 1}, b'{ "n": 1.0 }'), b'{ "n": 1.0 }'),
        (Arrival("in:1", {"n": 1}), b'{"n":1}'),
        (Arrival("in:1", {"n": {1, 2}}), b'{"n":[1,2]}'),
        (Arrival("in:1", {"n": float("nan")}), b"{'n': nan}"),
    ],
    ids=["as it stood", "encoded", "a set, which is written as a list", "what cannot be encoded"],
)
def test_the_bytes_of_a_record_are_those_of_the_source(arrival: Arrival, raw: bytes) -> None:
    assert arrived(Arrival("in:0", None, b"{"), arrival).batch.original(0) == raw


def test_dead_letters_of_one_kind_are_told_in_one_line() -> None:
    with capture_logs() as lines:
        arrived(*(Arrival(f"in:{n}", None, b"{", f"it ends at {n}") for n in range(1, 40)))

    (line,) = lines
    assert (line["records"], line["first"]) == (39, "read:in:1")
