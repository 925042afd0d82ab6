"""The connectors for objects, compared with a bare loop of the same client, 5,000 records per object."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import obstore
from obstore.store import S3Store

from benchmarks.measure import Figures, Job, Stopwatch
from benchmarks.single import made
from rsq_pipe.model.batch import Batch
from tests.support.object_store import KEY, SECRET, Bucket, ObjectStore

TITLE = "Objects of 5,000 records, in moto's S3"
SIZE = (40, 2)
BESIDE = {
    "sink objects": "bare put of jsonl",
    "sink objects, jsonl.gz": "bare put of jsonl",
    "sink objects, parquet": "bare put of jsonl",
    "source objects": "bare get of jsonl",
}
RECORDS = 5_000


def batches(number: int) -> list[Batch]:
    record = {"id": 17, "carrier": "UA", "name": "United Air Lines Inc.", "delay": 2.5, "tail": None}
    return [
        Batch([record] * RECORDS, [f"read:orders.jsonl:{RECORDS * at + n}" for n in range(RECORDS)])
        for at in range(number)
    ]


def timed(number: int, work: Callable[[], Any]) -> Figures:
    watch = Stopwatch()
    work()
    return watch.figures(RECORDS * number)


def client(bucket: Bucket) -> S3Store:
    return S3Store(
        bucket.name,
        endpoint=bucket.store.endpoint,
        region="us-east-1",
        access_key_id=KEY,
        secret_access_key=SECRET,
        client_options={"allow_http": True, "timeout": timedelta(seconds=30)},
    )


def bare_put(bucket: Bucket, number: int) -> Figures:
    """Encode and put, regardless of what exists."""
    store, given, run = client(bucket), batches(number), uuid.uuid4().hex
    encode = msgspec.json.Encoder().encode_lines

    def work() -> None:
        for at, batch in enumerate(given):
            obstore.put(store, f"bare-{run}/{at:08}.jsonl", encode(batch.records), use_multipart=False)

    return timed(number, work)


def sink(bucket: Bucket, number: int, ending: str) -> Figures:
    """Put with the sink, as the runner calls it, without what it stores in Redis."""
    given, url = batches(number), bucket.url(f"sink-{uuid.uuid4().hex}/{{part}}.{ending}")
    writing = made("sink", "objects", url=url, **bucket.settings)
    writing.open(None)

    def work() -> None:
        for batch in given:
            writing.prepare(batch)
            writing.write(batch)
            writing.stored()

    return timed(number, work)


def bare_get(bucket: Bucket, number: int) -> Figures:
    """Get and decode."""
    store = client(bucket)
    decode = msgspec.json.Decoder().decode_lines

    def work() -> None:
        for page in obstore.list(store, "in"):
            for one in page:
                decode(bytes(obstore.get(store, one["path"]).bytes()))

    return timed(number, work)


def source(bucket: Bucket, number: int) -> Figures:
    reading = made("source", "objects", url=bucket.url("in/*.jsonl"), **bucket.settings)

    def work() -> None:
        for shard in reading.shards():
            for _ in reading.read(shard, "", 2_000):
                pass

    return timed(number, work)


@contextmanager
def contenders(number: int) -> Iterator[dict[str, Job]]:
    """Start a store from the tests, and put the objects to read into it."""
    store = ObjectStore()
    try:
        bucket = store.bucket()
        for at, batch in enumerate(batches(number)):
            bucket.put(f"in/{at:08}.jsonl", msgspec.json.Encoder().encode_lines(batch.records))
        yield {
            "bare put of jsonl": partial(bare_put, bucket, number),
            "sink objects": partial(sink, bucket, number, "jsonl"),
            "sink objects, jsonl.gz": partial(sink, bucket, number, "jsonl.gz"),
            "sink objects, parquet": partial(sink, bucket, number, "parquet"),
            "bare get of jsonl": partial(bare_get, bucket, number),
            "source objects": partial(source, bucket, number),
        }
    finally:
        store.close()
