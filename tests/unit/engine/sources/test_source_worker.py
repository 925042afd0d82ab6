"""How a source is read: how many records at once, under which name, and what is said of broken files."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from rsq_pipe.engine.connecting import source_of
from rsq_pipe.engine.packing import PACK_RECORDS
from rsq_pipe.engine.process import Process
from rsq_pipe.engine.sources.source_worker import RECORDS, SourceWorker, until_next_look
from rsq_pipe.errors import SourceError
from rsq_pipe.spec.graph import ConnectorRef
from rsq_pipe.streams.client import StreamClient
from tests.unit.engine.given import pipeline
from tests.unit.engine.stages import graph, source

NOBODY = "redis://127.0.0.1:1"
"""No test here speaks to a server."""


def halt(error: BaseException) -> None:
    """Nothing here ends the run."""
    raise AssertionError(error)


def worker(folder: Path, read: str) -> SourceWorker:
    of = pipeline(folder, f"read: {{{read}}}\nout: {{sink: {{type: jsonl, path: out.jsonl}}}}")
    names = [stage.name for stage in of.stages]
    return SourceWorker(Process(StreamClient.from_url(NOBODY), of, halt, names), of.stage("read"))


@pytest.mark.parametrize(
    ("size", "expected"), [(1, 1), (499, 499), (PACK_RECORDS, RECORDS), (1_000, RECORDS)], ids=str
)
def test_a_source_brings_as_many_records_at_once_as_a_pack_holds_or_fewer_where_the_file_says_so(
    tmp_path: Path, size: int, expected: int
) -> None:
    found = worker(tmp_path, f"source: {{type: jsonl, path: in.jsonl}}, batch: {{size: {size}}}")

    assert found._chunk_records == expected


def test_records_of_files_are_named_after_the_stage_and_those_of_standard_input_anew(tmp_path: Path) -> None:
    files = worker(tmp_path, "source: {type: jsonl, path: in.jsonl}")
    (tmp_path / "b").mkdir()
    stdin = [worker(tmp_path / "b" / name, "source: {type: jsonl, path: '-'}") for name in "xy"]

    assert files._name == "read"
    assert all(re.fullmatch("read-[0-9a-f]{8}", one._name) for one in stdin)
    assert len({one._name for one in stdin}) == 2


def test_of_several_files_that_cannot_be_read_the_first_is_named_and_the_others_counted(
    tmp_path: Path,
) -> None:
    found = worker(tmp_path, "source: {type: jsonl, path: in.jsonl}")
    said = []
    for number in range(3):
        found._faults[str(number)] = SourceError(f"file {number} was altered")
        said.append(str(found.fault))

    assert said == [
        "file 0 was altered",
        "file 0 was altered (and 1 more file that cannot be read: see the log)",
        "file 0 was altered (and 2 more files that cannot be read: see the log)",
    ]


def test_a_source_that_the_runner_cannot_read_by_itself_is_an_error() -> None:
    read = replace(source(), options=ConnectorRef("source", "stream", None))

    with pytest.raises(LookupError, match="'stream' cannot be connected to"):
        source_of(graph(read), read)


@pytest.mark.parametrize(
    ("took", "before", "expected"),
    [
        (0.001, math.inf, 0.25),
        (2.0, 1.5, 15.0),
        (600.0, 0.001, 0.25),
        (600.0, math.inf, 60.0),
        (30.0, 30.0, 60.0),
    ],
    ids=["quick", "slow", "frozen once", "frozen at first", "very slow"],
)
def test_the_next_look_comes_the_later_the_longer_two_looks_took(
    took: float, before: float, expected: float
) -> None:
    assert until_next_look(took, before) == expected
