"""From one place of a bucket to another: each record once through kills and outages; no secret is told."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import random
import time
from collections.abc import Iterable

import arro3.io
import pytest

from tests.e2e.killed_in_turn import killed_in_turn
from tests.support.command_line import rsq_pipe
from tests.support.object_store import (
    KEY,
    SECRET,
    Bucket,
    ObjectStore,
)
from tests.support.project import Project
from tests.support.server import StreamServer


def store(bucket: Bucket, timeout: str = "5s") -> str:
    login = f'credentials: {{access_key: {KEY}, secret_key: "${{secret:S3}}"}}'
    return (
        f"type: objects, endpoint: '{bucket.store.endpoint}', region: us-east-1, timeout: {timeout}, {login}"
    )


def records(bucket: Bucket, path: str, numbers: Iterable[int]) -> None:
    bucket.put(path, gzip.compress(b"".join(b'{"n": %d}\n' % number for number in numbers)))


def written(bucket: Bucket, prefix: str = "out/") -> list[int]:
    objects = {name: data for name, data in bucket.objects().items() if name.startswith(prefix)}
    return [json.loads(line)["n"] for data in objects.values() for line in data.splitlines()]


def test_objects_are_read_and_written_and_a_second_run_takes_what_is_new(
    server: StreamServer, bucket: Bucket, project: Project
) -> None:
    records(bucket, "in/a.jsonl.gz", range(1_000))
    bucket.put("in/b.jsonl.gz", gzip.compress(b'{"n": "x"}\n{"n": 1000}\n'))
    project.spec(
        f"""
        read: {{source: {{{store(bucket)}, url: "{bucket.url("in/*.jsonl.gz")}"}}}}
        out:
          sink:
            {{{store(bucket)}, url: "{bucket.url("out/{part}.parquet")}", rotate: {{every: 1h}},
            format: {{type: parquet, columns: {{n: int}}}}}}
        """
    )
    arguments = ("run", project.path, "--redis", server.url)
    began = time.monotonic()
    first = rsq_pipe(*arguments, cwd=project.root, S3=SECRET)
    took = time.monotonic() - began
    records(bucket, "in/c.jsonl.gz", range(2_000, 2_100))
    second = rsq_pipe(*arguments, cwd=project.root, S3=SECRET)
    third = rsq_pipe(*arguments, cwd=project.root, S3=SECRET)

    assert (first.returncode, second.returncode, third.returncode) == (4, 0, 0), first.stderr + second.stderr
    assert took < 30, "the part waits for no more records where none can come"
    assert bucket.names()[3:] == ["out/00000001.parquet", "out/00000002.parquet"]
    tables = [arro3.io.read_parquet(io.BytesIO(bucket.get(name))).read_all() for name in bucket.names()[3:]]
    found = [n for table in tables for n in table.column("n").to_pylist()]
    assert found == [*range(1_001), *range(2_000, 2_100)]
    assert "field 'n' is 'x', and its column is of type int" in first.stderr
    assert SECRET not in first.stdout + first.stderr


def test_wrong_credentials_and_a_missing_bucket_end_the_run_with_what_to_do(
    server: StreamServer, own_object_store: ObjectStore, project: Project
) -> None:
    bucket = own_object_store.bucket()
    project.records(range(10))
    spec = "read: {{source: {{type: jsonl, path: in.jsonl}}}}\nout: {{sink: {{{0}, url: '{1}'}}}}"
    project.spec(spec.format(store(bucket), "s3://no-bucket-here/{part}.csv"))
    arguments = (project.path, "--redis", server.url)
    missing = rsq_pipe("run", *arguments, cwd=project.root, S3=SECRET)
    tried = rsq_pipe("validate", "--connect", *arguments, cwd=project.root, S3=SECRET)
    own_object_store.deny(after=0)
    project.spec(spec.format(store(bucket), bucket.url("{part}.csv")))
    denied = rsq_pipe("run", *arguments, cwd=project.root, S3=SECRET)
    own_object_store.allow()
    allowed = rsq_pipe("run", *arguments, cwd=project.root, S3=SECRET)

    assert (missing.returncode, denied.returncode, allowed.returncode) == (1, 1, 0), allowed.stderr
    assert "there is no bucket 'no-bucket-here'; make it, or correct `url`" in missing.stderr
    assert "FAILED: there is no bucket 'no-bucket-here'" in tried.stdout
    assert "access is denied (403 InvalidAccessKeyId); check `credentials`" in denied.stderr
    for done in (missing, tried, denied):
        assert SECRET not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    assert bucket.get("00000001.csv") == b"n\n" + b"".join(b"%d\n" % n for n in range(10))


@pytest.mark.timeout(240)
@pytest.mark.chaos
async def test_kills_of_workers_and_a_store_that_stands_still_lose_and_double_nothing(
    server: StreamServer, own_object_store: ObjectStore, project: Project
) -> None:
    draw, count, bucket = random.Random(5), 24_000, own_object_store.bucket()
    for at in range(0, count, 3_000):
        records(bucket, f"in/{at:06}.jsonl.gz", range(at, at + 3_000))
    source = f'url: "{bucket.url("in/*.jsonl.gz")}"'
    sink = f'url: "{bucket.url("out/{part}.jsonl")}", rotate: {{records: 400, every: 500ms}}'
    project.spec(
        f"""
        read: {{source: {{{store(bucket, "1s")}, {source}}}, batch: {{size: 100}}}}
        pass: {{filter: n >= 0, batch: {{size: 100}}}}
        out: {{sink: {{{store(bucket, "1s")}, {sink}}}}}
        """,
        top="reclaim: {idle: 500ms}\nmax_backlog: 1000",
    )

    async def outage() -> None:
        own_object_store.pause()
        try:
            await asyncio.sleep(10)  # what is measured: it is away for so long
        finally:
            own_object_store.resume()

    in_the_middle, settled = await killed_in_turn(
        *(project, server, lambda: {draw.randrange(2), 0}, outage),
        stage="out",
        hidden=SECRET,
        count=count,
        kills=6,
        S3=SECRET,
    )

    assert in_the_middle >= 3
    found = written(bucket)
    assert (len(found), len(set(found))) == (count, count)
    assert settled == count
