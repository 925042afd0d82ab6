"""Limited: of a source exactly so many records are read, whatever its chunks are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rsq_pipe.connectors.jsonl.source import Options, connect
from rsq_pipe.engine.sources.limited import Limited


def numbers(path: Path, count: int) -> None:
    path.write_text("".join(json.dumps({"n": n}) + "\n" for n in range(count)))


@pytest.mark.parametrize(("limit", "size"), [(1, 100), (7, 3), (6, 3), (10, 10), (25, 4), (300, 7)])
def test_exactly_so_many_are_read_and_the_position_is_behind_them(
    tmp_path: Path, limit: int, size: int
) -> None:
    numbers(tmp_path / "in.jsonl", 100)
    source = connect(Options(path=("in.jsonl",)), stage="read", root=tmp_path)
    limited = Limited(source, limit)

    chunks = list(limited.read("in.jsonl", "", size))
    rest = [record for chunk in source.read("in.jsonl", chunks[-1].position, 100) for record in chunk.records]

    read = [record["n"] for chunk in chunks for record in chunk.records]
    assert read == list(range(min(limit, 100)))
    assert [record["n"] for record in rest] == list(range(limit, 100))


def test_what_did_not_enter_is_read_again(tmp_path: Path) -> None:
    numbers(tmp_path / "in.jsonl", 100)
    limited = Limited(connect(Options(path=("in.jsonl",)), stage="read", root=tmp_path), 10)

    first = sum(map(len, limited.read("in.jsonl", "", 4)))
    limited.entered(4)
    again = sum(map(len, limited.read("in.jsonl", "", 4)))

    assert (first, again, limited.is_reached) == (10, 6, False)
    limited.entered(6)
    assert limited.is_reached
    assert list(limited.read("in.jsonl", "", 4)) == []
