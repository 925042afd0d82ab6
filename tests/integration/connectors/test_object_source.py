"""The source `objects` against a store: formats, going on, new objects, what is refused or waited for."""

from __future__ import annotations

import gzip
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arro3.core as arrow
import arro3.io
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from rsq_pipe.connectors.objects.naming import Pattern
from rsq_pipe.connectors.objects.object_reader import ObjectReader
from rsq_pipe.connectors.outage import report_outages_to
from rsq_pipe.connectors.source import Arrival
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SourceError
from tests.support.object_store import SECRET, Bucket, ObjectStore
from tests.support.signals import eventually

Make = Callable[..., ObjectReader]


def made(bucket: Bucket, path: str, **given: Any) -> ObjectReader:
    found = connector("source", "objects")
    options = found.options(**{"url": bucket.url(path), "timeout": "2s", **bucket.settings, **given})
    source: ObjectReader = found.made(options, pipeline="p", stage="read", root=Path("/"))
    return source


@pytest.fixture
def source(bucket: Bucket) -> Make:
    """Make a source of a bucket, as a new process would."""
    return lambda path="**/*.jsonl", **given: made(bucket, path, **given)


def read(
    source: ObjectReader, shard: str, position: str = "", size: int = 3
) -> list[tuple[Arrival | None, str]]:
    """Read a shard; each arrival with the position of its chunk, and None for a chunk without one."""
    found: list[tuple[Arrival | None, str]] = []
    for chunk in source.read(shard, position, size):
        arrivals = chunk.arrivals
        found += [(one, chunk.position) for one in arrivals] or [(None, chunk.position)]
    return found


def ids(source: ObjectReader) -> list[Any]:
    """Read all there is from the start."""
    found = [one for shard in source.shards() for one, _ in read(source, shard)]
    return [one.data["id"] for one in found if one is not None and one.data is not None]


def lines(*numbers: int) -> bytes:
    return b"".join(b'{"id": %d}\n' % number for number in numbers)


def parquet(*numbers: int) -> bytes:
    file = io.BytesIO()
    column = arrow.Array(numbers, arrow.DataType.int64())
    arro3.io.write_parquet(arrow.Table.from_pydict({"id": column}), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "given"),
    [
        ("x.jsonl", lines(1, 2, 3, 4), {}),
        ("x.ndjson.gz", gzip.compress(lines(1, 2, 3, 4)), {}),
        ("x.csv", b"id\n1\n2\n3\n4\n", {"format": {"type": "csv", "types": {"id": "int"}}}),
        ("x", b"n;id\n0;1\n0;2\n0;3\n0;4", {"format": {"type": "csv", "types": "infer", "delimiter": ";"}}),
        (
            "x.json",
            b'{"all": [{"id":1},{"id":2},{"id":3},{"id":4}]}',
            {"format": {"type": "json", "records": "all"}},
        ),
        ("x.parquet", parquet(1, 2, 3, 4), {}),
    ],
)
def test_each_format_is_read_as_from_files_and_gone_on_in_from_every_position(
    bucket: Bucket, source: Make, name: str, data: bytes, given: dict[str, Any]
) -> None:
    bucket.put(f"a/{name}", data)
    path = f"a/{name}" if name == "x" else f"a/*.{name.partition('.')[2]}"
    assert ids(source(path, **given)) == [1, 2, 3, 4]

    whole = read(source(path, **given), f"a/{name}", size=1)
    assert [one.offset for one, _ in whole if one] == sorted({one.offset for one, _ in whole if one})
    for at, (_, position) in enumerate(whole):
        rest = [one for one, _ in read(source(path, **given), f"a/{name}", position)]
        assert rest == [one for one, _ in whole[at + 1 :]]


def test_what_is_no_record_is_told_with_its_place_and_its_neighbours_are_read(
    bucket: Bucket, source: Make
) -> None:
    bucket.put("a/x.jsonl", b'{"id": 1}\nbroken\n{"id": 3}')

    found = [one for one, _ in read(source(), "a/x.jsonl") if one]
    assert [(one.offset, bool(one.error)) for one in found] == [
        ("a/x.jsonl:1", False),
        ("a/x.jsonl:2", True),
        ("a/x.jsonl:3", False),
    ]
    assert found[1].raw.strip() == b"broken"


def test_an_object_that_was_read_is_not_copied_again(
    bucket: Bucket, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("x.jsonl", lines(1))
    bucket.put("empty.jsonl", b"")
    positions = {name: read(source(), name)[-1][1] for name in ("x.jsonl", "empty.jsonl")}
    monkeypatch.delattr("rsq_pipe.connectors.objects.bucket.Bucket.fetch")

    again = source()
    for shard in again.shards():
        assert read(again, shard, positions[shard]) == []


def test_new_objects_are_read_by_interval_whatever_their_names(bucket: Bucket, source: Make) -> None:
    one = source(every="1ms")
    assert one.shards() == []
    bucket.put("m.jsonl", lines(1))
    assert eventually(one.changed) == ["m.jsonl"]
    bucket.put("a.jsonl", lines(2))
    assert eventually(one.changed) == ["a.jsonl"]
    assert one.changed() in ([], ())


def test_in_the_order_of_names_one_position_tells_how_far_all_were_read(bucket: Bucket, source: Make) -> None:
    for number in range(4):
        bucket.put(f"d/{number}.jsonl", lines(2 * number, 2 * number + 1))
    given = {"ordered": True, "start_after": "d/0.jsonl"}
    (shard,) = source("d/*.jsonl", **given).shards()
    whole = read(source("d/*.jsonl", **given), shard, size=1)
    assert [one.data["id"] for one, _ in whole if one and one.data] == [2, 3, 4, 5, 6, 7]

    for at, (_, position) in enumerate(whole):
        rest = [one for one, _ in read(source("d/*.jsonl", **given), shard, position)]
        assert rest == [one for one, _ in whole[at + 1 :]]
    bucket.put("d/9.jsonl", lines(9))
    later = read(source("d/*.jsonl", **given), shard, whole[-1][1])
    assert [one.offset for one, _ in later if one] == ["d/9.jsonl:1"]


def test_an_object_that_was_written_over_is_not_gone_on_in(bucket: Bucket, source: Make) -> None:
    bucket.put("x.jsonl", lines(1, 2))
    position = read(source(), "x.jsonl", size=1)[0][1]
    bucket.put("x.jsonl", lines(1, 2, 3))

    with pytest.raises(SourceError, match=r"x\.jsonl is not the object that was read: it was written over"):
        read(source(), "x.jsonl", position)


def test_an_object_that_is_damaged_yields_what_can_be_read_and_is_told(bucket: Bucket, source: Make) -> None:
    bucket.put("x.jsonl.gz", gzip.compress(lines(*range(1_000)), 0)[:9_000])
    one = source("*.jsonl.gz")
    (shard,) = one.shards()
    found: list[dict[str, Any]] = []

    def take_all() -> None:
        for chunk in one.read(shard, "", 100):
            found.extend(chunk.records)
            assert '"done":true' not in chunk.position

    with pytest.raises(SourceError, match=r"x\.jsonl\.gz cannot be read past line"):
        take_all()
    assert [record["id"] for record in found] == list(range(len(found)))
    assert len(found) > 100


def test_copies_of_a_process_that_was_killed_are_taken_away_and_those_of_others_are_kept(
    bucket: Bucket, source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    bucket.put("x.jsonl", lines(*range(10)))
    reading = source().read("x.jsonl", "", 3)
    next(reading)
    (other,) = tmp_path.iterdir()
    (tmp_path / "rsq-pipe-objects-killed").mkdir()
    (tmp_path / "rsq-pipe-objects-killed/x.jsonl").write_bytes(b"")
    (tmp_path / "rsq-pipe-objects-just-made").mkdir()
    for path in (other, tmp_path / "rsq-pipe-objects-killed"):
        os.utime(path, (0, 0))

    assert ids(source()) == list(range(10))
    assert sorted(tmp_path.iterdir()) == sorted([other, tmp_path / "rsq-pipe-objects-just-made"])
    assert sum(len(chunk) for chunk in reading) == 7
    assert not other.exists()


def test_an_object_that_is_gone_by_now_is_told_and_passed_over(bucket: Bucket, source: Make) -> None:
    with capture_logs() as logs:
        assert read(source(), "gone.jsonl") == []
    assert "the object is gone" in logs[0]["event"]


def test_a_pattern_without_objects_a_missing_bucket_and_too_many_objects_are_told(
    bucket: Bucket, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceError, match="names no object; correct it, or set `every`"):
        source().shards()
    with pytest.raises(SourceError, match="stage 'read': there is no bucket 'nowhere-at-all'; make it"):
        source(url="s3://nowhere-at-all/*.csv").shards()

    monkeypatch.setattr("rsq_pipe.connectors.objects.object_reader.MOST", 1)
    bucket.put("1.jsonl", b"")
    bucket.put("2.jsonl", b"")
    with pytest.raises(SourceError, match="more than 1 objects; set `ordered: true` if new ones sort after"):
        source().shards()


def test_credentials_that_are_wrong_are_told_without_the_secret(own_object_store: ObjectStore) -> None:
    bucket = own_object_store.bucket()
    own_object_store.deny(after=0)
    one = made(bucket, "*.jsonl")
    acts: list[Callable[[], object]] = [one.shards, lambda: read(one, "x.jsonl")]
    for act in acts:
        with pytest.raises(SourceError, match="access is denied") as caught:
            act()
        assert SECRET not in str(caught.value)


def test_a_store_that_stands_still_is_waited_for(own_object_store: ObjectStore) -> None:
    bucket = own_object_store.bucket()
    bucket.put("x.jsonl", lines(1, 2))
    one = made(bucket, "*.jsonl", timeout="300ms", every="1ms")
    own_object_store.pause()
    with capture_logs() as logs:
        assert one.shards() == []
        found: list[Any] = []
        reading = threading.Thread(target=lambda: found.extend(read(one, "x.jsonl")), daemon=True)
        reading.start()
        eventually(lambda: any("tried again in 0.2 s" in line["event"] for line in logs), 20)
        own_object_store.resume()
        reading.join(20)
    assert [arrival.data["id"] for arrival, _ in found] == [1, 2]
    assert "tried again in 0.001 s" in logs[0]["event"]


@pytest.mark.parametrize(
    ("pattern", "prefix", "yes", "no"),
    [
        ("a/*.csv", "a/", ["a/x.csv", "a/.csv"], ["a/b/x.csv", "a/x.csv.gz", "b/x.csv"]),
        ("a/**/x-?.csv", "a/", ["a/x-1.csv", "a/b/c/x-2.csv"], ["a/x-12.csv", "ax-1.csv"]),
        ("a/**", "a/", ["a/x", "a/b/c"], ["a/", "a/b/"]),
        ("day-[0-9][!x].jsonl", "day-", ["day-1y.jsonl"], ["day-1x.jsonl", "day-xy.jsonl"]),
        ("a/x.csv", "a/x.csv", ["a/x.csv"], ["a/x.csv2", "a/xxcsv"]),
    ],
)
def test_patterns_name_objects_as_a_shell_names_files(
    pattern: str, prefix: str, yes: list[str], no: list[str]
) -> None:
    found = Pattern(pattern)
    assert found.prefix == prefix
    assert [name for name in [*yes, *no] if found.matches(name)] == yes


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"url": "s3://lake/{part}.jsonl"}, "a source takes `*`, `?`, `[...]` and `**`, no {part}"),
        ({"url": "s3://lake/*.xml"}, "`url` ends in 'xml', which is not a format"),
        ({"url": "s3://lake/*.csv", "format": {"type": "csv", "path": "x"}}, "path"),
        ({"url": "s3://lake/*.csv", "format": {"type": "csv", "header": False}}, "columns"),
        ({"url": "s3://lake/*.csv", "every": 0}, "not a duration"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        connector("source", "objects").options(**given)
    assert told in str(caught.value)


def test_objects_that_were_named_and_not_read_are_named_again_where_reading_begins_anew(
    bucket: Bucket, source: Make
) -> None:
    bucket.put("a.jsonl", lines(1))
    bucket.put("b.jsonl", lines(2))
    reader = source(every="1s")
    named = reader.shards()

    assert reader.shards() == named == ["a.jsonl", "b.jsonl"]


def test_a_listing_that_fails_is_reported_until_one_works_again(own_object_store: ObjectStore) -> None:
    bucket = own_object_store.bucket()
    source = made(bucket, "*.jsonl", every="1ms", timeout="500ms")
    reports: list[str] = []
    report_outages_to(reports.append)
    try:
        assert source.changed() == []
        own_object_store.pause()
        assert source.changed() == []
        (report,) = reports
        assert "no answer" in report
        own_object_store.resume()
        assert source.changed() == []
    finally:
        report_outages_to(lambda _: None)

    assert reports == [report, ""], "it answers, though there is nothing new"


def test_a_name_that_the_client_cannot_ask_for_is_told(bucket: Bucket, source: Make) -> None:
    bucket.put("a//x.jsonl", lines(1))
    with pytest.raises(SourceError, match="an object has a name that cannot be asked for") as failed:
        source().shards()
    assert 'Path "a//x.jsonl" contained empty path segment; rename it, or narrow `url`' in str(failed.value)
