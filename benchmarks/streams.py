"""The source and sink `stream`, used by a pipeline, compared with bare commands of redis-py.

A stream has no connector that could work on its own: its entries are read by a consumer group, and written in
the settlement. So a pipeline is run, from a stream into nothing, and from a file into a stream.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import redis
from redis.asyncio import Redis

from benchmarks import orders, ours
from benchmarks.measure import Figures, Job, Stopwatch
from benchmarks.runner_here import run_here
from tests.support.server import StreamServer, binaries

TITLE = "Out of a stream, and from a file of JSON lines into one, with the pipeline that does it"
SIZE = (200, 4)
BESIDE = {"source stream": "bare XREADGROUP, XACK", "sink stream": "bare XADD"}
BATCH = 500


def begin(total: int) -> int:
    """Return how many are not measured: if there are many, the first fifth, while the pipeline starts."""
    return total // 5 if total > 20 * BATCH else 0


def bare_source(url: str, total: int) -> Figures:
    """Read, decode and acknowledge."""
    orders.push(url, "in", total)
    with redis.Redis.from_url(url) as client:
        client.xgroup_create("in", "bare", id="0")
        watch, found = Stopwatch(url), 0
        while found < total:
            ((_, entries),) = client.xreadgroup("bare", "c", {"in": ">"}, count=BATCH)
            for _, fields in entries:
                json.loads(fields[b"data"])
            client.xack("in", "bare", *(entry for entry, _ in entries))
            found += len(entries)
        return watch.figures(total)


def source(url: str, total: int) -> Figures:
    """Drop everything that is read: drops are settled like anything else."""
    orders.push(url, "in", total)
    stages = {
        "read": {"source": {"type": "stream", "stream": "in"}},
        "none": {"filter": "id < 0"},
        "write": {"sink": {"type": "stdout"}},
    }

    async def settled(client: Redis, stream: str) -> int:
        groups = await client.xinfo_groups(stream)
        return sum((group["entries-read"] or 0) - group["pending"] for group in groups)

    with tempfile.TemporaryDirectory(prefix="rsq-") as folder:
        spec = ours.project(Path(folder), "streams", stages, max_backlog=ours.ROOM)
        return run_here(spec, url, "in", total, first=begin(total), count=settled)


def bare_sink(url: str, path: Path, total: int) -> Figures:
    with redis.Redis.from_url(url) as client, path.open("rb") as file:
        watch, found = Stopwatch(url), 0
        while found < total:
            with client.pipeline(transaction=False) as commands:
                for _, line in zip(range(BATCH), file, strict=False):
                    commands.xadd("out", {"data": json.dumps(json.loads(line))})
                found += len(commands.execute())
        return watch.figures(total)


def sink(url: str, path: Path, total: int) -> Figures:
    stages = {
        "read": {"source": {"type": "jsonl", "path": str(path)}},
        "write": {"sink": {"type": "stream", "stream": "out"}},
    }
    with tempfile.TemporaryDirectory(prefix="rsq-") as folder:
        spec = ours.project(Path(folder), "streams", stages, max_backlog=ours.ROOM)
        return run_here(spec, url, "out", total, first=begin(total))


@contextmanager
def contenders(count: int) -> Iterator[dict[str, Job]]:
    """Start a server, a Valkey; each contender has it to itself."""
    total = count * BATCH
    with (
        tempfile.TemporaryDirectory(prefix="rsq-") as folder,
        StreamServer(binaries()["valkey"], tcp=True) as server,
    ):
        path, url = Path(folder) / "orders.jsonl", server.tcp_url
        orders.write(path, total)
        jobs: dict[str, Job] = {
            "bare XREADGROUP, XACK": partial(bare_source, url, total),
            "source stream": partial(source, url, total),
            "bare XADD": partial(bare_sink, url, path, total),
            "sink stream": partial(sink, url, path, total),
        }
        yield {name: partial(emptied, url, job) for name, job in jobs.items()}


def emptied(url: str, job: Job) -> Figures:
    """Do a job on the server of this benchmark, with nothing in it."""
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return job()
