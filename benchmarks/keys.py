"""The redis and duckdb sinks, and the sources that make records, 500 a batch, each beside a bare loop."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import redis

from benchmarks.measure import Figures, Job, rates
from benchmarks.tables import batches, timed
from rsq_pipe.connectors.python.reading import PythonSource
from rsq_pipe.connectors.table import connector
from rsq_pipe.model.batch import Batch
from rsq_pipe.spec.expression import compile_expression
from tests.support.server import StreamServer, binaries

COLUMNS = "id bigint, carrier varchar, name varchar, delay double, tail varchar"


def pushes(url: str, count: int) -> Figures:
    """Push JSON by a pipeline of commands, without any guarantee."""
    with redis.Redis.from_url(url) as client:

        def write(batch: Batch) -> None:
            with client.pipeline(transaction=False) as commands:
                for record in batch.records:
                    commands.rpush("pushed", json.dumps(record))
                commands.execute()

        return timed(list(batches(count)), write)


def keys(url: str, count: int, **settings: Any) -> Figures:
    found = connector("sink", "redis")
    sink = found.made(found.options(url=url, **settings), pipeline="b", stage=settings["kind"], root=Path())
    sink.open(None, fresh=True)
    try:
        return timed(list(batches(count)), sink.write)
    finally:
        sink.close()


def inserts(count: int) -> Figures:
    """Insert by executemany, without any guarantee: it is slow, and so are few batches of it."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(f"{folder}/x.duckdb") as connection:
        connection.execute(f"create table t ({COLUMNS})")

        def write(batch: Batch) -> None:
            connection.execute("begin")
            rows = [list(record.values()) for record in batch.records]
            connection.executemany("insert into t values (?, ?, ?, ?, ?)", rows)
            connection.execute("commit")

        return timed(list(batches(count)), write)


def rows(count: int) -> Figures:
    found = connector("sink", "duckdb")
    with tempfile.TemporaryDirectory() as folder:
        options = found.options(path="x.duckdb", table="t", create=True)
        sink = found.made(options, pipeline="b", stage="write", root=Path(folder))
        sink.open(None)
        try:
            return timed(list(batches(count)), sink.write)
        finally:
            sink.close()


def read(source: Any) -> Figures:
    began, used, total = time.perf_counter(), time.process_time(), 0
    for shard in source.shards():
        for chunk in source.read(shard, "", 500):
            total += len(chunk)
    return rates(total, time.perf_counter() - began, time.process_time() - used)


def generated(count: int) -> Figures:
    found = connector("source", "generate")
    fields = {"id": "n", "total": "round(random * 100, 2)", "large": "total > 90"}
    compiled = {name: compile_expression(text) for name, text in fields.items()}
    options = found.options(count=count).model_copy(update={"fields": compiled})
    return read(found.made(options, pipeline="b", stage="read", root=Path()))


def yielded(count: int) -> Figures:
    def function() -> Iterator[dict[str, Any]]:
        for n in range(count):
            yield {"id": n, "total": n * 0.5, "large": n > 90}

    return read(PythonSource(lambda: function, "bench:function", "read", {}))


def looped(count: int) -> Figures:
    """Make the same records and nothing of them."""
    began, used = time.perf_counter(), time.process_time()
    made = [{"id": n, "total": n * 0.5, "large": n > 90} for n in range(count)]
    return rates(len(made), time.perf_counter() - began, time.process_time() - used)


@contextmanager
def contenders(count: int) -> Iterator[dict[str, Job]]:
    """Start a server, a Valkey."""
    with StreamServer(binaries()["valkey"], tcp=True) as server:
        url = server.tcp_url
        jobs: dict[str, Callable[[], Figures]] = {
            "bare RPUSH": partial(pushes, url, count),
            "sink redis, list": partial(keys, url, count, kind="list", key="sunk", fresh="empty"),
            "sink redis, hash": partial(keys, url, count, kind="hash", key="row:{id}"),
            "bare executemany, DuckDB": partial(inserts, max(1, count // 20)),
            "sink duckdb": partial(rows, count),
            "bare loop": partial(looped, count * 500),
            "source generate": partial(generated, count * 500),
            "source python": partial(yielded, count * 500),
        }
        yield jobs
