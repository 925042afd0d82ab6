"""The sink `objects` against a store: parts, formats, what is refused, and what is waited for."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arro3.io
import pytest

from rsq_pipe.connectors.objects.object_parts import ObjectParts
from rsq_pipe.connectors.objects.progress import MOST, Progress
from rsq_pipe.connectors.sink import TargetUnavailableError
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch
from tests.support.object_store import SECRET, Bucket, ObjectStore

Make = Callable[..., ObjectParts]


@pytest.fixture
def sink(bucket: Bucket, tmp_path: Path) -> Make:
    """Make a sink of a bucket, as a new process would."""

    def make(path: str = "o/{part}.jsonl", **given: Any) -> ObjectParts:
        return made(bucket, path, tmp_path, **given)

    return make


def made(bucket: Bucket, path: str, root: Path, **given: Any) -> ObjectParts:
    found = connector("sink", "objects")
    options = found.options(**{"url": bucket.url(path), "timeout": "2s", **bucket.settings, **given})
    sink: ObjectParts = found.made(options, pipeline="p", stage="out", root=root)
    return sink


def batch(*numbers: int) -> Batch:
    return Batch([{"id": n} for n in numbers], [f"read:{n}" for n in numbers])


def put(sink: ObjectParts, given: Batch, *, settles: bool = True) -> str:
    """Write a batch as the runner does; give the position that is stored then."""
    prepared = sink.prepare(given)
    position = sink.write(given).position
    if settles:
        sink.stored()
    return position if settles else prepared


def in_parts(bucket: Bucket) -> list[list[int]]:
    return [[json.loads(line)["id"] for line in data.splitlines()] for data in bucket.objects().values()]


def test_each_batch_is_a_part_in_the_format_that_the_name_says(bucket: Bucket, sink: Make) -> None:
    given = batch(1, 2)
    for path in ("j/{part}.jsonl.gz", "c/{part}.csv", "p/{part}.parquet"):
        one = sink(path)
        one.open(None)
        put(one, given)
    csv = {"type": "csv", "delimiter": ";", "fields": ["id", "more"], "missing": "empty"}
    x = sink("x/{part}", format=csv)
    x.open(None)
    put(x, given)

    objects = bucket.objects()
    assert gzip.decompress(objects.pop("j/00000001.jsonl.gz")) == b'{"id":1}\n{"id":2}\n'
    table = arro3.io.read_parquet(io.BytesIO(objects.pop("p/00000001.parquet"))).read_all()
    assert table.column("id").to_pylist() == [1, 2]
    assert objects == {"c/00000001.csv": b"id\n1\n2\n", "x/00000001": b"id;more\n1;\n2;\n"}


def test_a_record_that_cannot_be_written_is_told_and_its_neighbours_are_written(
    bucket: Bucket, sink: Make
) -> None:
    one = sink(format={"type": "parquet", "columns": {"id": "int"}})
    one.open(None)
    bad = Batch([{"id": 1}, {"id": "x"}, {"id": 3}], ["read:1", "read:2", "read:3"])
    one.prepare(bad)
    written = one.write(bad)

    assert {place: str(why) for place, why in written.failures.items()} == {
        1: "field 'id' is 'x', and its column is of type int"
    }
    table = arro3.io.read_parquet(io.BytesIO(bucket.get("o/00000001.jsonl"))).read_all()
    assert table.column("id").to_pylist() == [1, 3]


def test_a_batch_of_which_nothing_can_be_written_makes_no_part(bucket: Bucket, sink: Make) -> None:
    one = sink()
    one.open(None)
    bad = Batch([{"id": float("nan")}], ["read:1"])
    one.prepare(bad)

    assert list(one.write(bad).failures) == [0]
    assert bucket.names() == []


def test_what_was_made_and_not_settled_is_left_out_when_it_comes_again_in_other_batches(
    bucket: Bucket, sink: Make
) -> None:
    first = sink()
    first.open(None)
    position = put(first, batch(1, 2, 3), settles=False)

    second = sink()
    position = second.open(position)
    position = put(second, batch(3, 4))
    third = sink()
    third.open(position)
    put(third, batch(1, 2, 5))
    put(third, batch(6))

    assert in_parts(bucket) == [[1, 2, 3], [4], [5], [6]]


def test_a_request_that_arrives_late_is_refused_where_the_successor_was_first_and_found_where_not(
    bucket: Bucket, sink: Make
) -> None:
    late = sink("a/{part}.jsonl")
    late.open(None)
    position = late.prepare(batch(1, 2))
    successor = sink("a/{part}.jsonl")
    successor.open(position)
    put(successor, batch(1))
    with pytest.raises(TargetUnavailableError, match="another writer has created"):
        late.write(late._ready.batch)  # type: ignore[union-attr]

    late = sink("b/{part}.jsonl")
    late.open(None)
    position = late.prepare(batch(1, 2))
    successor = sink("b/{part}.jsonl")
    successor.open(position)
    position = successor.prepare(batch(1))
    late.write(late._ready.batch)  # type: ignore[union-attr]
    with pytest.raises(TargetUnavailableError, match="another writer has created"):
        successor.write(successor._ready.batch)  # type: ignore[union-attr]
    successor.open(position)
    put(successor, batch(1))
    put(successor, batch(2, 3))

    assert in_parts(bucket) == [[1], [1, 2], [3]]


def test_all_that_is_begun_under_a_number_has_one_name_though_the_day_changes(
    bucket: Bucket, sink: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_769_900_000.0)
    late = sink("{date}/{part}.jsonl")
    late.open(None)
    position = late.prepare(batch(1, 2))
    monkeypatch.setattr("time.time", lambda: 1_769_990_000.0)
    successor = sink("{date}/{part}.jsonl")
    successor.open(position)
    put(successor, batch(1))
    put(successor, batch(2))

    assert bucket.names() == ["2026-01-31/00000001.jsonl", "2026-02-01/00000002.jsonl"]


def test_many_attempts_that_came_to_nothing_are_ended_by_a_part_of_one_record(
    bucket: Bucket, sink: Make
) -> None:
    position: str | None = None
    for number in range(MOST):
        one = sink()
        one.open(position)
        position = one.prepare(batch(number, number + 1))  # and then it is killed
    assert bucket.names() == []
    assert len(Progress.load(position or "").attempts) == MOST

    last = sink()
    last.open(position)
    given = batch(*range(MOST + 1))
    last.prepare(given)
    # Killed before anything was stored, it has made the part of one record; the next one finds that.
    again = sink()
    again.open(position)
    put(again, given)

    assert in_parts(bucket) == [[0], list(range(1, MOST + 1))]


def test_parts_of_others_are_an_error_or_gone_on_behind_or_deleted(bucket: Bucket, sink: Make) -> None:
    bucket.put("o/00000007.jsonl", b'{"id": 0}\n')
    bucket.put("o/other.jsonl", b"")
    with pytest.raises(SinkError, match=r"o/00000007\.jsonl exists and was not written by this"):
        sink().open(None)

    behind = sink(exists="append")
    behind.open(None)
    put(behind, batch(1))
    assert bucket.names() == ["o/00000007.jsonl", "o/00000008.jsonl", "o/other.jsonl"]

    fresh = sink()
    fresh.open(None, fresh=True)
    put(fresh, batch(2))
    assert bucket.names() == ["o/00000009.jsonl", "o/other.jsonl"], "no name is used twice"


def test_a_process_that_is_not_the_writer_any_more_deletes_nothing(bucket: Bucket, sink: Make) -> None:
    bucket.put("o/00000001.jsonl", b"")

    with pytest.raises(SinkError, match="another process has become its writer"):
        sink().open(None, fresh=True, still=lambda: False)
    assert bucket.names() == ["o/00000001.jsonl"]


def test_a_part_that_another_pipeline_made_ends_the_run_or_is_passed_over(bucket: Bucket, sink: Make) -> None:
    one = sink()
    position = one.open(None)
    bucket.put("o/00000001.jsonl", b'{"id": 0}\n')
    position = one.prepare(batch(1))
    with pytest.raises(TargetUnavailableError):
        one.write(one._ready.batch)  # type: ignore[union-attr]
    with pytest.raises(SinkError, match="is there, and this pipeline did not write it, or Redis was"):
        sink().open(position)

    behind = sink(exists="append")
    behind.open(position)
    put(behind, batch(1))
    assert in_parts(bucket) == [[0], [1]]


def test_credentials_that_are_wrong_are_told_without_the_secret(
    own_object_store: ObjectStore, tmp_path: Path
) -> None:
    bucket = own_object_store.bucket()
    one = made(bucket, "{part}.jsonl", tmp_path)
    one.open(None)
    own_object_store.deny(after=0)

    acts: list[Callable[[], str]] = [lambda: one.open(None), lambda: put(one, batch(1))]
    for act in acts:
        with pytest.raises(SinkError, match=r"access is denied \(403 InvalidAccessKeyId\)|403") as caught:
            act()
        assert "check `credentials`, and what they may do in the bucket" in str(caught.value)
        assert SECRET not in str(caught.value)


def test_a_store_that_is_away_or_stands_still_is_waited_for(
    own_object_store: ObjectStore, tmp_path: Path
) -> None:
    bucket = own_object_store.bucket()
    one = made(bucket, "{part}.jsonl", tmp_path, timeout="500ms")
    one.open(None)
    own_object_store.pause()
    try:
        given = batch(1)
        position = one.prepare(given)
        with pytest.raises(TargetUnavailableError, match="no answer"):
            one.write(given)
    finally:
        own_object_store.resume()
    one.open(position)
    put(one, given)
    put(one, batch(2))
    assert sorted(n for part in in_parts(bucket) for n in part) == [1, 2]

    own_object_store.close()
    with pytest.raises(TargetUnavailableError, match="no answer"):
        one.open(position)


def test_position_that_is_none_is_told(sink: Make) -> None:
    with pytest.raises(SinkError, match="'12:ab' is not a stored position; use --fresh to start over"):
        sink().open("12:ab")
