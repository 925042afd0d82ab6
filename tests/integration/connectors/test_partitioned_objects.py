"""The sink `objects` with `partition_by` against a store: names, late requests, and what others began."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arro3.io
import pytest

from rsq_pipe.connectors.objects.partitioned_parts import PartitionedParts
from rsq_pipe.connectors.sink import TargetUnavailableError
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch
from tests.support.object_store import Bucket, ObjectStore

Make = Callable[..., PartitionedParts]


@pytest.fixture
def sink(bucket: Bucket, tmp_path: Path) -> Make:
    """Make a sink of a bucket, as a new process would."""

    def make(path: str = "k={k}/{part}.jsonl", **given: Any) -> PartitionedParts:
        return made(bucket, path, tmp_path, **given)

    return make


def made(bucket: Bucket, path: str, root: Path, **given: Any) -> PartitionedParts:
    found = connector("sink", "objects")
    settings = {"url": bucket.url(path), "timeout": "2s", "partition_by": "k", **bucket.settings, **given}
    sink: PartitionedParts = found.made(found.options(**settings), pipeline="p", stage="out", root=root)
    return sink


def batch(*records: str) -> Batch:
    """Make a batch of records that are called by their kind and number: `a1`."""
    return Batch([{"id": one, "k": one[0]} for one in records], [f"read:{one}" for one in records])


def put(sink: PartitionedParts, given: Batch) -> str:
    """Write a batch as the runner does; return the position that is stored then."""
    sink.prepare(given)
    position = sink.write(given).position
    sink.stored()
    return position


def in_parts(bucket: Bucket) -> dict[str, list[str]]:
    return {
        name: [json.loads(line)["id"] for line in data.splitlines()]
        for name, data in bucket.objects().items()
    }


def test_a_batch_is_a_part_for_each_value_under_one_number(bucket: Bucket, sink: Make) -> None:
    one = sink()
    one.open(None)
    put(one, batch("a1", "b1", "a2"))
    position = put(one, batch("b2", "c1"))
    again = sink()
    again.open(position)
    put(again, batch("a3"))

    assert in_parts(bucket) == {
        "k=a/00000001.jsonl": ["a1", "a2"],
        "k=b/00000001.jsonl": ["b1"],
        "k=b/00000002.jsonl": ["b2"],
        "k=c/00000002.jsonl": ["c1"],
        "k=a/00000003.jsonl": ["a3"],
    }


@pytest.mark.parametrize("value", ["a/b c", "50%", "é=ü", "..", "{part}", "a&b+c", "2026-11-28T12:00:00Z"])
def test_values_that_paths_give_a_meaning_come_back_as_they_were(
    bucket: Bucket, sink: Make, value: str
) -> None:
    one = sink()
    one.open(None)
    given = Batch([{"id": 1, "k": value}], ["read:1"])
    position = put(one, given)
    (name,) = bucket.names()
    again = sink(exists="append")
    again.open(None)

    assert name.count("/") == 1
    assert again._progress.next == 2, "the part is found by its name"
    assert json.loads(bucket.get(name)) == {"id": 1, "k": value}
    assert position


def test_parquet_parts_have_the_given_columns_also_without_records(bucket: Bucket, sink: Make) -> None:
    columns = {"type": "parquet", "columns": {"id": "str", "k": "str", "when": "datetime"}}
    died = sink("k={k}/{part}.parquet", format=columns)
    died.open(None)
    position = died.prepare(batch("a1", "b1"))
    one = sink("k={k}/{part}.parquet", format=columns)
    one.open(position)
    put(one, batch("a1"))

    found = {
        name: arro3.io.read_parquet(io.BytesIO(data)).read_all() for name, data in bucket.objects().items()
    }
    assert {name: table.num_rows for name, table in found.items()} == {
        "k=a/00000001.parquet": 0,
        "k=b/00000001.parquet": 0,
        "k=a/00000002.parquet": 1,
    }
    assert {str(table.schema) for table in found.values()} == {str(found["k=a/00000002.parquet"].schema)}


def test_empty_csv_parts_have_the_header(bucket: Bucket, sink: Make) -> None:
    died = sink("k={k}/{part}.csv", format={"type": "csv", "fields": ["id", "k"]})
    died.open(None)
    position = died.prepare(batch("a1"))
    sink("k={k}/{part}.csv", format={"type": "csv", "fields": ["id", "k"]}).open(position)

    assert bucket.objects() == {"k=a/00000001.csv": b"id,k\n"}


def test_what_a_dead_writer_made_is_left_out_and_what_it_did_not_make_is_made(
    bucket: Bucket, sink: Make
) -> None:
    died = sink()
    died.open(None)
    given = batch("a1", "b1", "b2", "c1")
    position = died.prepare(given)
    bucket_part = died._ready.parts["k=b/00000001.jsonl"]  # type: ignore[union-attr]
    died._make_all({"k=b/00000001.jsonl": bucket_part})  # and then it is killed

    second = sink()
    position = second.open(position)
    position = put(second, batch("b2", "c1"))
    third = sink()
    third.open(position)
    put(third, batch("a1", "b1", "b3"))

    assert in_parts(bucket) == {
        "k=a/00000001.jsonl": [],
        "k=b/00000001.jsonl": ["b1", "b2"],
        "k=c/00000001.jsonl": [],
        "k=c/00000002.jsonl": ["c1"],
        "k=a/00000003.jsonl": ["a1"],
        "k=b/00000003.jsonl": ["b3"],
    }


def test_a_request_that_arrives_late_is_refused(bucket: Bucket, sink: Make) -> None:
    late = sink()
    late.open(None)
    given = batch("a1", "b1")
    position = late.prepare(given)
    successor = sink()
    successor.open(position)
    put(successor, batch("c1"))

    with pytest.raises(TargetUnavailableError, match="another writer has created"):
        late.write(given)
    put(successor, given)
    assert sorted(one for part in in_parts(bucket).values() for one in part) == ["a1", "b1", "c1"]


def test_a_process_killed_while_it_decides_leaves_that_to_the_next(bucket: Bucket, sink: Make) -> None:
    died = sink()
    died.open(None)
    position = died.prepare(batch("a1", "b1"))
    sink().open(position)  # it is killed before that is stored

    third = sink()
    third.open(position)
    put(third, batch("a1", "b1"))
    assert in_parts(bucket) == {
        "k=a/00000001.jsonl": [],
        "k=b/00000001.jsonl": [],
        "k=a/00000002.jsonl": ["a1"],
        "k=b/00000002.jsonl": ["b1"],
    }


def test_the_same_writer_repeats_its_requests_after_an_outage_and_makes_no_empty_parts(
    own_object_store: ObjectStore, tmp_path: Path
) -> None:
    bucket = own_object_store.bucket()
    one = made(bucket, "k={k}/{part}.jsonl", tmp_path, timeout="500ms")
    one.open(None)
    given = batch("a1", "b1")
    own_object_store.pause()
    try:
        position = one.prepare(given)
        with pytest.raises(TargetUnavailableError, match="no answer"):
            one.write(given)
    finally:
        own_object_store.resume()
    one.open(position)
    put(one, given)

    assert in_parts(bucket) == {"k=a/00000001.jsonl": ["a1"], "k=b/00000001.jsonl": ["b1"]}


def test_another_batch_after_an_outage_is_begun_once_the_first_is_decided(bucket: Bucket, sink: Make) -> None:
    one = sink()
    one.open(None)
    position = one.prepare(batch("a1", "b1"))
    one.open(position)  # its requests failed, and the batch went to another worker
    put(one, batch("a1", "a2"))

    assert in_parts(bucket) == {
        "k=a/00000001.jsonl": [],
        "k=b/00000001.jsonl": [],
        "k=a/00000002.jsonl": ["a1", "a2"],
    }


def test_records_without_a_value_for_a_name_fail_alone(bucket: Bucket, sink: Make) -> None:
    one = sink()
    one.open(None)
    given = Batch([{"k": "a"}, {"k": [1]}, {"x": 1}], ["read:1", "read:2", "read:3"])
    one.prepare(given)
    written = one.write(given)

    assert {place: str(why) for place, why in written.failures.items()} == {
        1: "field 'k' is a list, which cannot be in the name of a part",
        2: "there is no field 'k', which `partition_by` names",
    }
    assert bucket.names() == ["k=a/00000001.jsonl"]


def test_more_values_than_allowed_end_the_run_before_anything_is_written(bucket: Bucket, sink: Make) -> None:
    one = sink(max_partitions=2)
    one.open(None)

    with pytest.raises(SinkError, match=r"3 records have 3 values of k, .*`max_partitions` allows 2"):
        one.prepare(batch("a1", "b1", "c1"))
    assert bucket.names() == []


def test_fresh_deletes_all_parts_and_no_number_is_used_twice(bucket: Bucket, sink: Make) -> None:
    one = sink()
    one.open(None)
    put(one, batch("a1", "b1"))
    with pytest.raises(SinkError, match="exists and was not written by this pipeline"):
        sink().open(None)

    fresh = sink()
    fresh.open(None, fresh=True)
    put(fresh, batch("a2"))
    assert in_parts(bucket) == {"k=a/00000002.jsonl": ["a2"]}


def test_a_part_of_somebody_else_ends_the_run_or_is_passed_over(bucket: Bucket, sink: Make) -> None:
    one = sink()
    one.open(None)
    position = one.prepare(batch("a1"))
    bucket.put("k=a/00000001.jsonl", b'{"id": "x"}\n')

    with pytest.raises(SinkError, match="is there, and this pipeline did not write it"):
        sink().open(position)
    behind = sink(exists="append")
    behind.open(position)
    put(behind, batch("a1"))
    assert in_parts(bucket) == {"k=a/00000001.jsonl": ["x"], "k=a/00000002.jsonl": ["a1"]}
