"""The end of a file: half a line waits for its rest, and a file altered under its reader is told."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from rsq_pipe.connectors.files import file_end
from rsq_pipe.connectors.source import Chunk, Source
from rsq_pipe.errors import SourceError
from tests.support.signals import eventually

Write = Callable[[str, bytes], Path]
Connect = Callable[..., Source]

HALF = {"jsonl": b'{"a": 1}\n{"a": 1', "csv": b"id,a\n9,1\n10,1"}
REST = {"jsonl": b"1}\n", "csv": b"1\n"}


def age(path: Path) -> None:
    """Make a file look as if nobody had written to it for an hour."""
    then = time.time() - 3_600
    os.utime(path, (then, then))


def values(chunks: list[Chunk]) -> list[int | None]:
    return [int(a.data["a"]) if a.data else None for chunk in chunks for a in chunk.arrivals]


@pytest.mark.parametrize("kind", HALF)
def test_half_a_line_is_read_when_the_rest_of_it_was_written(
    write: Write, source: Connect, kind: str
) -> None:
    path = write("x", HALF[kind])

    with capture_logs() as logged:
        chunks: list[Chunk] = []
        made = source(kind, path="x", final=None)
        reading = threading.Thread(target=lambda: chunks.extend(made.read("x", "", 10)))
        reading.start()
        eventually(lambda: any("waiting" in line["event"] for line in logged), what="the source waits")
        with path.open("ab") as file:
            file.write(REST[kind])
        reading.join(20)

    assert values(chunks) == [1, 11]


@pytest.mark.parametrize("kind", HALF)
def test_last_line_without_newline_of_a_file_that_nobody_writes_to_is_read_at_once(
    write: Write, source: Connect, kind: str
) -> None:
    path = write("x", HALF[kind] + REST[kind].rstrip())
    age(path)

    with capture_logs() as logged:
        assert values(list(source(kind, path="x", final=None).read("x", "", 10))) == [1, 11]

    assert logged == []


def test_json_object_is_whole_without_a_newline_and_without_waiting(write: Write, source: Connect) -> None:
    write("x", b'{"a": 1}')

    with capture_logs() as logged:
        assert values(list(source("jsonl", path="x", final=None).read("x", "", 10))) == [1]

    assert logged == []


def test_last_line_counts_as_whole_once_the_file_stands_still(
    write: Write, source: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_end, "QUIET", 0.3)
    path = write("x", HALF["csv"])
    later = time.time() + 3_600  # the clock of a file server that is ahead of ours
    os.utime(path, (later, later))

    assert values(list(source("csv", path="x", final=None).read("x", "", 10))) == [1, 1]


@pytest.mark.parametrize(
    ("kind", "half", "rest", "all_of_it"),
    [
        ("jsonl", HALF["jsonl"], REST["jsonl"], [1, 11]),
        ("csv", HALF["csv"], REST["csv"], [1, 11]),
        ("csv", b'id,a\n9,1\n"10', b'",11\n', [1, 11]),
        ("csv", b'id,a\n9,1\n"ten\n', b'",11\n', [1, 11]),
        ("csv", b'id,a\n9,1\n"ten\nand', b'",11\n', [1, 11]),
        ("csv", b"id,", b"a\n10,11\n", [11]),
        ("csv", b'id,"a', b'"\n10,11\n', [11]),
    ],
)
def test_half_a_line_is_left_to_a_later_run_where_the_pipeline_file_says_so(
    write: Write, source: Connect, kind: str, half: bytes, rest: bytes, all_of_it: list[int]
) -> None:
    path = write("x", half)
    age(path)

    with capture_logs() as logged:
        first = list(source(kind, path="x", final=False).read("x", "", 10))
    position = first[-1].position if first else ""
    assert any("no newline" in line["event"] for line in logged)
    again = list(source(kind, path="x", final=False).read("x", position, 10))
    path.write_bytes(half + rest)
    last = list(source(kind, path="x", final=False).read("x", position, 10))

    assert again == []
    assert values([*first, *last]) == all_of_it


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz"])
def test_packed_file_ends_where_it_ends(write: Write, source: Connect, name: str) -> None:
    path = write(name, HALF["csv"])
    if name == "x.csv":
        age(path)

    assert values(list(source("csv", path=name, final=None).read(name, "", 10))) == [1, 1]


ROWS: dict[str, Callable[[int], bytes]] = {
    "jsonl": lambda n: b'{"a": %d}\n' % n,
    "csv": lambda n: b"%d\n" % n if n else b"a\n",
}


def replaced(path: Path, data: bytes) -> None:
    other = path.with_name("other")
    other.write_bytes(data)
    other.replace(path)


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda path, data: os.truncate(path, 100), "shortened"),
        (lambda path, data: os.truncate(path, 0), "shortened"),
        (lambda path, data: path.write_bytes(data.replace(b"1", b"2") * 2), "written again"),
        (replaced, "replaced"),
    ],
    ids=["cut", "emptied", "rewritten", "replaced"],
)
def test_file_that_is_altered_while_it_is_read_ends_with_an_error(
    write: Write, source: Connect, kind: str, change: Callable[[Path, bytes], Any], why: str
) -> None:
    data = b"".join(map(ROWS[kind], range(60_000)))
    path = write("x", data)
    chunks = source(kind, path="x", final=None).read("x", "", 10)
    next(chunks)

    change(path, data)

    with pytest.raises(SourceError, match=f"file x was {why}"):
        list(chunks)


@pytest.mark.parametrize("kind", ROWS)
def test_file_that_grows_or_is_moved_away_while_it_is_read_is_read_to_its_end(
    write: Write, source: Connect, kind: str
) -> None:
    path = write("x", b"".join(map(ROWS[kind], range(1_000))))
    chunks = source(kind, path="x", final=None).read("x", "", 10)
    first = next(chunks)

    with path.open("ab") as file:
        file.write(ROWS[kind](1_000))
    path.rename(path.with_name("y"))

    assert values([first, *chunks]) == list(range(kind == "csv", 1_001))


@pytest.mark.parametrize("now", [b"", b"a\n"])
def test_csv_that_was_emptied_after_it_was_read_is_an_error(
    write: Write, source: Connect, now: bytes
) -> None:
    path = write("x", b"a\n1\n2\n")
    [chunk] = source("csv", path="x").read("x", "", 10)

    path.write_bytes(now)

    with pytest.raises(SourceError, match="is not the file that was read up to line 3"):
        list(source("csv", path="x").read("x", chunk.position, 10))
