"""The postgres sink, 500 rows per batch, compared with COPY and a ledger's row; the source with select."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg

from benchmarks.measure import Figures, Job, Stopwatch, rates
from benchmarks.single import ROWS, batches, made, read, timed
from rsq_pipe.model.batch import Batch
from tests.support.postgres import PostgresServer, binaries

TITLE = "Into and out of PostgreSQL by 500 records"
SIZE = (200, 5)
BESIDE = {
    "sink postgres": "bare COPY and ledger",
    "sink postgres, upsert": "bare COPY and ledger",
    "sink postgres, 2 writers": "sink postgres",
    "executemany": "bare COPY and ledger",
    "source postgres": "bare select",
}
COLUMNS = "id bigint, carrier text, name text, delay double precision, tail text"


def execute(dsn: str, sql: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.encode())


def bare(dsn: str, count: int) -> Figures:
    """Do the minimum: advance the ledger's row, COPY with psycopg's own rows, commit."""
    execute(dsn, f"drop table if exists bare; create table bare ({COLUMNS})")
    execute(dsn, "create table if not exists own (id int primary key, epoch int, rids text[])")
    execute(dsn, "insert into own values (1, 1, '{}') on conflict do nothing")
    with psycopg.connect(dsn) as connection:

        def write(batch: Batch) -> None:
            with connection.cursor() as cursor:
                cursor.execute("update own set rids = %s where id = 1 and epoch = 1", [batch.rids])
                with cursor.copy("copy bare (id, carrier, name, delay, tail) from stdin") as copy:
                    for record in batch.records:
                        copy.write_row(tuple(record.values()))
            connection.commit()

        return timed(list(batches(count)), write)


def executemany(dsn: str, count: int) -> Figures:
    """Insert, without any guarantee."""
    execute(dsn, f"drop table if exists inserted; create table inserted ({COLUMNS})")
    with psycopg.connect(dsn) as connection:

        def write(batch: Batch) -> None:
            with connection.cursor() as cursor:
                rows = [tuple(record.values()) for record in batch.records]
                cursor.executemany("insert into inserted values (%s, %s, %s, %s, %s)", rows)
            connection.commit()

        return timed(list(batches(count)), write)


def sink(dsn: str, count: int, **settings: Any) -> Figures:
    table = f"sunk_{settings.get('mode', 'append')}"
    key = ", primary key (id)" if settings else ""
    execute(dsn, f"drop table if exists {table}, {table}_ledger; create table {table} ({COLUMNS}{key})")
    writing = made("sink", "postgres", dsn=dsn, table=table, ledger=f"{table}_ledger", **settings)
    writing.open(None)
    try:
        return timed(list(batches(count)), writing.write)
    finally:
        writing.close()


def fill(dsn: str, count: int) -> None:
    execute(dsn, f"create table standing ({COLUMNS}, primary key (id))")
    rows = f"generate_series(1, {count * ROWS}) n"
    execute(dsn, f"insert into standing select n, 'UA', 'United Air Lines Inc.', 2.5, null from {rows}")


def bare_source(dsn: str) -> Figures:
    """Select all rows as JSON, with a server-side cursor, and decode them."""
    watch, found = Stopwatch(), 0
    with psycopg.connect(dsn) as connection, connection.cursor("bare") as cursor:
        cursor.itersize = ROWS
        for (row,) in cursor.execute("select row_to_json(s)::text from standing s"):
            found += json.loads(row)["id"] > 0
    return watch.figures(found)


def source(dsn: str) -> Figures:
    return read(made("source", "postgres", dsn=dsn, table="standing", key=["id"]))


def several(dsn: str, count: int, writers: int) -> Figures:
    """Write with so many processes at the same time, each its share, all starting at once."""
    table = f"several_{writers}"
    execute(dsn, f"drop table if exists {table}, {table}_ledger; create table {table} ({COLUMNS})")
    options = {"dsn": dsn, "table": table, "ledger": f"{table}_ledger", "writers": writers}
    opened(options, 0).close()  # makes the ledger
    context = multiprocessing.get_context("spawn")
    ready, used = context.Barrier(writers + 1), context.Queue()
    processes = [
        context.Process(target=one_of, args=(options, shard, count // writers, (ready, used)))
        for shard in range(writers)
    ]
    for process in processes:
        process.start()
    ready.wait(60)
    watch = Stopwatch()
    spent = sum(used.get(timeout=600) for _ in processes)
    seconds = watch.seconds
    for process in processes:
        process.join()
    return rates(ROWS * (count // writers) * writers, seconds, spent)


def one_of(options: dict[str, Any], shard: int, count: int, shared: tuple[Any, Any]) -> None:
    """Write as one of several; report the CPU time."""
    writing, given = opened(options, shard), list(batches(count))
    ready, used = shared
    ready.wait(60)
    began = time.process_time()
    for batch in given:
        writing.write(batch)
    used.put(time.process_time() - began)
    writing.close()


def opened(options: dict[str, Any], shard: int) -> Any:
    """Open the sink as one of several."""
    writing = made("sink", "postgres", **options)
    writing.take(shard, {0: "0"})
    writing.open("0" if shard == 0 else None)
    return writing


@contextmanager
def contenders(count: int) -> Iterator[dict[str, Job]]:
    """Start a server; without PostgreSQL there is nothing to measure."""
    where = binaries()
    if where is None:
        yield {}
        return
    with PostgresServer(where) as server:
        upsert = {"mode": "upsert", "key": ("id",)}
        fill(server.dsn, count)
        yield {
            "bare COPY and ledger": partial(bare, server.dsn, count),
            "executemany": partial(executemany, server.dsn, count),
            "sink postgres": partial(sink, server.dsn, count),
            "sink postgres, 2 writers": partial(several, server.dsn, count, 2),
            "sink postgres, upsert": partial(sink, server.dsn, count, **upsert),
            "bare select": partial(bare_source, server.dsn),
            "source postgres": partial(source, server.dsn),
        }
