"""How much of its files a source has read."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import pytest

from rsq_pipe.connectors.csv import source as csv_source
from rsq_pipe.connectors.jsonl import source as jsonl_source


def lines(first: int, count: int) -> bytes:
    return b"".join(
        json.dumps({"n": n, "text": "x" * 1_000}).encode() + b"\n" for n in range(first, first + count)
    )


@pytest.fixture
def two_files(tmp_path: Path) -> jsonl_source.JsonlSource:
    """The first holds three quarters of the bytes."""
    (tmp_path / "a.jsonl").write_bytes(lines(1_000, 3_000))
    (tmp_path / "b.jsonl").write_bytes(lines(1_000, 1_000))
    options = jsonl_source.Options.model_validate({"path": "*.jsonl", "chunk_bytes": "64KiB"})
    return jsonl_source.connect(options, stage="read", root=tmp_path)


def test_the_share_grows_with_what_is_read_and_ends_at_all(two_files: jsonl_source.JsonlSource) -> None:
    shares = []
    for shard in two_files.shards():
        for _ in two_files.read(shard, "", 500):
            share = two_files.share()
            assert share is not None
            shares.append(share)

    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5
    assert two_files.share() == 1.0


def test_what_an_earlier_run_has_read_counts(two_files: jsonl_source.JsonlSource) -> None:
    first, second = two_files.shards()
    *_, last = two_files.read(first, "", 500)

    again = list(two_files.read(first, last.position, 500))

    assert again == []
    assert two_files.share() == pytest.approx(0.75, abs=0.01)
    assert second == "b.jsonl"


def test_a_packed_file_is_measured_in_packed_bytes(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n * 7919 % 104729}\n" for n in range(60_000))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(f"n,m\n{rows}".encode()))
    options = csv_source.Options.model_validate({"path": "a.csv.gz"})
    source = csv_source.connect(options, stage="read", root=tmp_path)
    (shard,) = source.shards()

    shares = [source.share() for _ in source.read(shard, "", 1_000)]

    assert shares[5] is not None
    assert 0 < shares[5] < 0.9
    assert source.share() == 1.0


def test_nothing_is_told_of_a_source_without_end(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(0, 1))
    options = jsonl_source.Options.model_validate({"path": "a.jsonl", "follow": True})
    source = jsonl_source.connect(options, stage="read", root=tmp_path)

    source.shards()

    assert source.share() is None


def test_a_source_can_be_handed_to_another_process(two_files: jsonl_source.JsonlSource) -> None:
    handed = pickle.loads(pickle.dumps(two_files))

    assert handed.shards() == ["a.jsonl", "b.jsonl"]
