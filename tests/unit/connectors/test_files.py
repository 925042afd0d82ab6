"""Files of a source: found by patterns, named stably, resumed only where they are the same files."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rsq_pipe.connectors.files.unpacked import packed
from rsq_pipe.connectors.source import Arrival, Chunk, Source
from rsq_pipe.errors import SourceError

Write = Callable[[str, bytes], Path]
Connect = Callable[..., Source]
Arrivals = Callable[..., list[Arrival]]


def lines(*numbers: int) -> bytes:
    return b"".join(b'{"id": %d}\n' % number for number in numbers)


def until_error(chunks: Iterator[Chunk]) -> tuple[list[Chunk], str]:
    """Read until the source ends with an error."""
    seen: list[Chunk] = []
    try:
        seen.extend(chunks)
    except SourceError as exc:
        return seen, str(exc)
    raise AssertionError("the source ended without an error")


def ids(chunks: list[Chunk]) -> list[int]:
    return [arrival.data["id"] for chunk in chunks for arrival in chunk.arrivals if arrival.data]


@pytest.mark.parametrize(
    ("path", "shards"),
    [
        ("data/a.jsonl", ["a.jsonl"]),
        ("./data/../data/a.jsonl", ["a.jsonl"]),
        ("data/*.jsonl", ["a.jsonl", "b.jsonl"]),
        ("data/**/*.jsonl", ["a.jsonl", "b.jsonl", "old/a.jsonl"]),
        ("data/*/a.jsonl", ["old/a.jsonl"]),
        (["data/b.jsonl", "data/*.jsonl"], ["a.jsonl", "b.jsonl"]),
        (["data/*.jsonl", "data/old/*.jsonl"], ["a.jsonl", "b.jsonl", "old/a.jsonl"]),
    ],
)
def test_shards_are_the_matching_files_sorted_and_named_from_the_patterns_folder(
    write: Write, source: Connect, path: str | list[str], shards: list[str]
) -> None:
    for name in ("data/b.jsonl", "data/a.jsonl", "data/old/a.jsonl", "data/.hidden.jsonl"):
        write(name, lines(1))

    assert source("jsonl", path=path).shards() == shards


def test_file_that_turns_up_later_renames_no_other(write: Write, source: Connect) -> None:
    write("in/2024/a.jsonl", lines(1))
    before = source("jsonl", path="in/**/*.jsonl").shards()

    write("in/2025/a.jsonl", lines(2))

    assert source("jsonl", path="in/**/*.jsonl").shards() == [*before, "2025/a.jsonl"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("in/*.jsonl", "no file matches '*.jsonl' in folder '{root}/in'"),
        ("nowhere/x.jsonl", "there is no folder 'nowhere' in '{root}'"),
        ("in", "'in' is a folder; name the files in it: 'in/*'"),
        ("in/reedme.txt", "no file matches 'reedme.txt' in folder '{root}/in'; did you mean 'readme.txt'?"),
    ],
)
def test_pattern_without_a_file_is_an_error_that_names_pattern_and_folder(
    write: Write, source: Connect, tmp_path: Path, path: str, why: str
) -> None:
    write("in/readme.txt", b"")

    with pytest.raises(SourceError) as caught:
        source("jsonl", path=path).shards()

    assert why.format(root=tmp_path) in str(caught.value)


def test_chunk_ends_at_its_size_and_at_its_bytes(write: Write, source: Connect) -> None:
    write("x.jsonl", lines(*range(100, 130)))
    made = source("jsonl", path="x.jsonl", chunk_bytes="120B")

    assert [len(chunk.arrivals) for chunk in made.read("x.jsonl", "", 20)] == [10, 10, 10]
    assert [len(chunk.arrivals) for chunk in made.read("x.jsonl", "", 7)] == [7, 7, 7, 7, 2]


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_file_that_grew_is_read_on_behind_its_position(write: Write, source: Connect, name: str) -> None:
    write(name, lines(1, 2))
    [chunk] = source("jsonl", path=name).read(name, "", 10)

    write(name, lines(1, 2, 3))

    grown = list(source("jsonl", path=name).read(name, chunk.position, 10))
    assert ids(grown) == [3]
    assert grown[0].arrivals[0].offset == f"{name}:3"
    assert list(source("jsonl", path=name).read(name, grown[-1].position, 10)) == []


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
@pytest.mark.parametrize("now", [lines(7, 8, 9), lines(1), b""])
def test_file_that_was_replaced_or_shortened_is_an_error(
    write: Write, source: Connect, name: str, now: bytes
) -> None:
    write(name, lines(1, 2))
    [chunk] = source("jsonl", path=name).read(name, "", 10)

    write(name, now)

    with pytest.raises(SourceError, match=f"file {name} is not the file that was read up to line 2.*--fresh"):
        list(source("jsonl", path=name).read(name, chunk.position, 10))


def test_position_of_another_kind_of_source_is_an_error(write: Write, source: Connect) -> None:
    write("x.jsonl", lines(1))

    with pytest.raises(SourceError, match="not a stored position"):
        list(source("jsonl", path="x.jsonl").read("x.jsonl", "0-1", 10))


@pytest.mark.parametrize(
    ("added", "offsets"),
    [
        (b"", []),
        (b"\n", []),
        (b'\n{"id": 3}', ["x.jsonl:3"]),
        (b'{"id": 9}\n{"id": 3}\n', ["x.jsonl:2+20", "x.jsonl:3"]),
    ],
)
def test_last_line_without_newline_is_read_once_and_what_is_added_to_it_is_no_record(
    write: Write, source: Connect, added: bytes, offsets: list[str]
) -> None:
    write("x.jsonl", lines(1, 2)[:-1] + b" ")
    [chunk] = source("jsonl", path="x.jsonl").read("x.jsonl", "", 10)
    assert ids([chunk]) == [1, 2]

    write("x.jsonl", lines(1, 2)[:-1] + b" " + added)

    later = list(source("jsonl", path="x.jsonl").read("x.jsonl", chunk.position, 10))
    assert [arrival.offset for chunk in later for arrival in chunk.arrivals] == offsets
    assert ids(later) == [3 for offset in offsets if offset == "x.jsonl:3"]


@pytest.mark.parametrize("suffix", ["bz2", "zst"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "flipped at a beginning", "not packed at all"])
def test_damaged_file_of_another_packer_yields_what_is_readable_and_then_an_error(
    tmp_path: Path, source: Connect, suffix: str, damage: str
) -> None:
    path = tmp_path / f"x.jsonl.{suffix}"
    first = packed(path.name, lines(*range(100)))
    second = bytearray(packed(path.name, lines(*range(100, 50_000))))
    if damage == "cut":
        del second[len(second) * 9 // 10 :]
    else:
        place = 0 if damage == "flipped at a beginning" else len(second) // 2
        second[place : place + 9] = b"\xff" * 9
    path.write_bytes(lines(1) if damage == "not packed at all" else first + second)

    seen, error = until_error(source("jsonl", path=path.name).read(path.name, "", 300))

    assert error.startswith(f"file {path.name} cannot be read past line {len(ids(seen))}: ")
    assert error.endswith(("its packed data are damaged", "it ends in the middle of its compressed data"))
    if (suffix, damage) != ("zst", "flipped"):  # its checksum is at its end: until there, all may be true
        assert ids(seen) == list(range(len(ids(seen))))
    assert len(ids(seen)) >= (0 if damage == "not packed at all" else 100)


@pytest.mark.parametrize("damage", ["cut", "flipped", "no gz at all"])
def test_damaged_gz_yields_what_is_readable_and_then_an_error_with_the_place(
    write: Write, source: Connect, damage: str
) -> None:
    data = lines(*range(10_000))
    held = bytearray(gzip.compress(data))
    if damage == "cut":
        del held[len(held) * 9 // 10 :]
    elif damage == "flipped":
        held[-6] ^= 0xFF
    else:
        held = bytearray(data)
    path = write("x.jsonl", bytes(held)).rename(write("x.jsonl.gz", b""))

    seen, error = until_error(source("jsonl", path="x.jsonl.gz").read("x.jsonl.gz", "", 300))

    assert error.startswith(f"file {path.name} cannot be read past line {len(ids(seen))}: ")
    assert ids(seen) == list(range(len(ids(seen))))
    assert len(ids(seen)) >= {"cut": 8_000, "flipped": 10_000, "no gz at all": 0}[damage]


def test_gz_that_was_mended_is_read_on(write: Write, source: Connect) -> None:
    data = lines(*range(10_000))
    whole = gzip.compress(data)
    path = write("x.jsonl.gz", data)
    path.write_bytes(whole[: len(whole) // 2])
    seen, _ = until_error(source("jsonl", path="x.jsonl.gz").read("x.jsonl.gz", "", 300))

    path.write_bytes(whole)

    rest = list(source("jsonl", path="x.jsonl.gz").read("x.jsonl.gz", seen[-1].position, 300))
    assert len(ids(rest)) > 1_000
    assert ids(rest)[-1] == 9_999
    assert ids(rest)[0] == ids(seen)[-1] + 1


def test_fifo_is_refused_and_not_waited_for(tmp_path: Path, source: Connect) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(SourceError, match="not a regular file"):
        list(source("jsonl", path="pipe").read("pipe", "", 10))


STDIN_READER = """
import sys
from pathlib import Path
from rsq_pipe.connectors.table import connector
found = connector("source", sys.argv[1])
source = found.connect(found.options(path="-"), stage="read", root=Path.cwd())
assert not source.resumable
[shard] = source.shards()
chunks = source.read(shard, "", 2)
first = next(chunks)
chunks.close()
for chunk in [first, *source.read(shard, first.position, 2)]:
    print(*(arrival.offset + "=" + str(arrival.data["id"]) for arrival in chunk.arrivals))
try:
    list(source.read(shard, first.position, 2))
except Exception as exc:
    print(type(exc).__name__, exc)
"""


@pytest.mark.parametrize(("kind", "header", "first"), [("jsonl", b"", 1), ("csv", b"id\n", 2)])
def test_standard_input_is_read_once_and_goes_on_where_it_stands(
    kind: str, header: bytes, first: int
) -> None:
    rows = lines(5, 6, 7) if kind == "jsonl" else b"5\n6\n7\n"

    done = subprocess.run(
        [sys.executable, "-c", STDIN_READER, kind],
        input=header + rows,
        capture_output=True,
        timeout=30,
        check=True,
    )

    out = done.stdout.decode().splitlines()
    assert out[:2] == [f"stdin:{first}=5 stdin:{first + 1}=6", f"stdin:{first + 2}=7"], done.stderr
    assert out[2].startswith("SourceError standard input stands at line")


COUNTER = """
import resource, sys
from pathlib import Path
from rsq_pipe.connectors.jsonl.source import Options, connect
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source = connect(Options(path="large.jsonl", final=True), stage="read", root=Path.cwd())
print(sum(len(chunk.arrivals) for chunk in source.read("large.jsonl", "", 500)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_large_file_with_an_endless_line_is_read_in_bounded_memory(tmp_path: Path) -> None:
    with (tmp_path / "large.jsonl").open("wb") as file:
        for number in range(300_000):
            file.write(b'{"id": %d, "pad": "%080d"}\n' % (number, number))
        file.truncate(file.tell() + 100_000_000)

    done = subprocess.run(
        [sys.executable, "-c", COUNTER], cwd=tmp_path, capture_output=True, timeout=60, check=True
    )

    count, grown_kib = map(int, done.stdout.split())
    assert count == 300_001
    assert grown_kib < 30 * 1024


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda path: None, "file in/x.jsonl cannot be read: no such file or directory"),
        (lambda path: path.mkdir(), "it is not a regular file"),
        (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
    ],
)
def test_file_that_cannot_be_opened_is_named_as_the_user_would(
    tmp_path: Path, source: Connect, prepare: Callable[[Path], None], why: str
) -> None:
    (tmp_path / "in").mkdir()
    prepare(tmp_path / "in/x.jsonl")

    with pytest.raises(SourceError) as caught:
        list(source("jsonl", path="in/x.jsonl").read("x.jsonl", "", 10))

    assert why in str(caught.value)
    assert "Errno" not in str(caught.value)
    assert "PosixPath" not in str(caught.value)
