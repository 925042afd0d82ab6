"""The postgres sink beside a bare loop of COPY and a ledger's row, 500 rows a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.measure import Figures, Job, rates
from rsq_pipe.connectors.table import connector
from rsq_pipe.model.batch import Batch
from tests.support.postgres import PostgresServer, binaries

ROWS = 500
RECORD = {"id": 0, "carrier": "UA", "name": "United Air Lines Inc.", "delay": 2.5, "tail": None}
COLUMNS = "id bigint, carrier text, name text, delay double precision, tail text"


def batches(count: int) -> Iterator[Batch]:
    for number in range(count):
        ids = range(number * ROWS, (number + 1) * ROWS)
        yield Batch(
            [
                {"id": n, "carrier": "UA", "name": "United Air Lines Inc.", "delay": 2.5, "tail": None}
                for n in ids
            ],
            [f"read:orders.jsonl:{n}" for n in ids],
        )


def timed(given: list[Batch], write: Callable[[Batch], Any]) -> Figures:
    began, used = time.perf_counter(), time.process_time()
    for batch in given:
        write(batch)
    return rates(ROWS * len(given), time.perf_counter() - began, time.process_time() - used)


def execute(dsn: str, sql: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.encode())


def bare(dsn: str, count: int) -> Figures:
    """Do what is least: move the ledger's row on, COPY by psycopg's own rows, commit."""
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
    found = connector("sink", "postgres")
    options = found.options(dsn=dsn, table=table, ledger=f"{table}_ledger", **settings)
    made = found.made(options, pipeline="bench", stage="write", root=Path())
    made.open(None)
    try:
        return timed(list(batches(count)), made.write)
    finally:
        made.close()


@contextmanager
def contenders(count: int) -> Iterator[dict[str, Job]]:
    """Start a server; without PostgreSQL there is nothing to measure."""
    where = binaries()
    if where is None:
        yield {}
        return
    with PostgresServer(where) as server:
        upsert = {"mode": "upsert", "key": ("id",)}
        yield {
            "bare COPY and ledger": partial(bare, server.dsn, count),
            "executemany": partial(executemany, server.dsn, count),
            "sink postgres": partial(sink, server.dsn, count),
            "sink postgres, upsert": partial(sink, server.dsn, count, **upsert),
        }
