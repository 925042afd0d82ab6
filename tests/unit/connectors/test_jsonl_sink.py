"""The jsonl and stdout sinks: how records are written."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from rsq_pipe.connectors.sink import Sink
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.pack import JsonPacks

Make = Callable[..., Sink]
MakeBatch = Callable[..., Batch]


def test_record_is_one_line_of_json_in_utf8(tmp_path: Path, sink: Make, batch: MakeBatch) -> None:
    made = sink("jsonl", path="out/a/x.jsonl")
    made.open(None)
    record = {
        "city": "Münster",
        "text": "a\nb",
        "at": dt.date(1996, 7, 4),
        "sum": Decimal("1.10"),
        "no": None,
    }

    assert made.write(batch(record, {"id": 2})).failures == {}

    first, second = (tmp_path / "out/a/x.jsonl").read_bytes().splitlines()
    expected = {"city": "Münster", "text": "a\nb", "at": "1996-07-04", "sum": "1.10", "no": None}
    assert json.loads(first) == expected
    assert "Münster".encode() in first
    assert json.loads(second) == {"id": 2}


def test_records_that_come_as_lines_are_written_as_they_are_and_with_their_ids_where_these_are_wished(
    tmp_path: Path, sink: Make, batch: MakeBatch
) -> None:
    raw = JsonPacks().encode([{"id": 1, "city": "Münster"}, {"id": 2}], ["a", "b"], {}, whole=True)
    for name, rid in (("plain", False), ("named", True)):
        made = sink("jsonl", path=f"{name}.jsonl", rid=rid)
        made.open(None)
        given = batch({}, {})
        packed = JsonPacks().decode(raw, as_rows=True)
        given.records, given.rids = cast("list[Any]", packed.records), packed.rids
        assert made.write(given).failures == {}

    assert (tmp_path / "plain.jsonl").read_text() == '{"id":1,"city":"Münster"}\n{"id":2}\n'
    assert (tmp_path / "named.jsonl").read_text() == (
        '{"rid":"a","id":1,"city":"Münster"}\n{"rid":"b","id":2}\n'
    )


def test_record_that_cannot_be_written_fails_alone_and_leaves_no_trace(
    tmp_path: Path, sink: Make, batch: MakeBatch
) -> None:
    made = sink("jsonl", path="x.jsonl")
    made.open(None)
    loop: list[object] = []
    loop.append(loop)

    written = made.write(batch({"id": 1}, {"id": object()}, {"id": "\ud800"}, {"id": loop}, {"id": 5}))

    assert list(written.failures) == [1, 2, 3]
    assert all("cannot be written as JSON" in str(error) for error in written.failures.values())
    assert (tmp_path / "x.jsonl").read_text() == '{"id":1}\n{"id":5}\n'


def test_batch_of_failures_moves_nothing(tmp_path: Path, sink: Make, batch: MakeBatch) -> None:
    made = sink("jsonl", path="x.jsonl")
    begin = made.open(None)

    written = made.write(batch({"id": object()}))

    assert written.position == begin
    assert (tmp_path / "x.jsonl").read_bytes() == b""


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "others", [[{"a": None}], [{"a": "null"}], [{"a": [None]}, {"null": 1}], [{"a": None}] * 5], ids=repr
)
def test_number_that_is_none_fails_alone_whatever_nulls_are_beside_it(
    tmp_path: Path, sink: Make, batch: MakeBatch, number: float, others: list[Any]
) -> None:
    made = sink("jsonl", path="x.jsonl")
    made.open(None)

    written = made.write(batch(*others, {"a": None, "b": {"c": [number]}}, *others))

    assert [str(error) for error in written.failures.values()] == [
        "the record cannot be written as JSON: $.b.c[0] is not a finite number"
    ]
    assert list(written.failures) == [len(others)]
    assert [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()] == others * 2


@pytest.mark.parametrize("record", [{"a": None}, {"a": "null"}, {"a": [None]}, {"null": None}], ids=repr)
def test_nulls_are_written_as_they_are(tmp_path: Path, sink: Make, batch: MakeBatch, record: Any) -> None:
    made = sink("jsonl", path="x.jsonl")
    made.open(None)

    assert made.write(batch(record, {"n": 1})).failures == {}

    assert [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()] == [
        record,
        {"n": 1},
    ]


STDOUT_WRITER = """
from pathlib import Path
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.pack import JsonPacks
from rsq_pipe.connectors.stdout import Options, connect
sink = connect(Options(), stage="show", root=Path.cwd())
assert sink.open(None) == "" and not sink.exclusive and sink.guarantee == "at-least-once"
print("before")
written = sink.write(Batch([{"id": 1}, {"id": object()}], ["read:1", "read:2"]))
assert list(written.failures) == [1]
"""


def test_stdout_prints_lines_in_order_with_what_was_printed_before() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STDOUT_WRITER], capture_output=True, timeout=30, text=True, check=True
    )

    assert done.stdout == 'before\n{"id":1}\n'


def test_stdout_that_is_full_is_a_sink_error() -> None:
    program = STDOUT_WRITER.replace('print("before")\n', "")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=30,
            text=True,
            check=False,
        )

    assert done.stderr.splitlines()[-1] == (
        "rsq_pipe.errors.SinkError: stage 'show': standard output cannot be written: No space left on device"
    )
