"""The postgres_cdc source, compared with a bare loop over the server's stream, and with polling by SQL."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import psycopg

from benchmarks.measure import Figures, Job, Stopwatch
from benchmarks.single import made
from tests.support.postgres import PostgresServer, binaries
from tests.support.signals import eventually

TITLE = "Out of PostgreSQL, 500 rows a transaction"
SIZE = (200, 5)
BESIDE = {"source postgres_cdc": "bare stream", "by SQL, at once": "bare stream"}
COLUMNS = "id bigint primary key, carrier text, name text, delay double precision, tail text, at timestamptz"
ROWS = "select n, 'UA', 'United Air Lines Inc.', 2.5, null, now() from generate_series({}, {}) n"
TRANSACTION = 500
INSERT = ord("I")


def fill(server: PostgresServer, transactions: int) -> None:
    server.execute(f"create table changed ({COLUMNS})")
    server.execute("create publication bench for table changed")
    server.execute("select pg_create_logical_replication_slot('bench', 'pgoutput')")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        for number in range(transactions):
            rows = ROWS.format(number * TRANSACTION, (number + 1) * TRANSACTION - 1)
            connection.execute(f"insert into changed {rows}".encode())


def bare(dsn: str, count: int) -> Figures:
    """Count the inserts that the server sends, without looking into any."""
    watch, found = Stopwatch(), 0
    with closing(psycopg.connect(dsn, autocommit=True, replication="database")) as connection:
        server: Any = connection.pgconn
        server.exec_(
            b"START_REPLICATION SLOT bench LOGICAL 0/0 (proto_version '1', publication_names 'bench')"
        )
        while found < count:
            length, data = server.get_copy_data(1)
            if length > 0:
                found += data[0] == ord("w") and data[25] == INSERT
            else:
                select.select([server.socket], [], [], 1)
                server.consume_input()
    return watch.figures(count)


def asked(dsn: str, count: int) -> Figures:
    """Ask by SQL for everything, and count."""
    watch, found = Stopwatch(), 0
    sql = (
        "select data from pg_logical_slot_peek_binary_changes('bench', null, null,"
        " 'proto_version', '1', 'publication_names', 'bench')"
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        for (data,) in connection.cursor(binary=True).execute(sql.encode()):
            found += data[0] == INSERT
    assert found == count
    return watch.figures(count)


def source(dsn: str, count: int) -> Figures:
    where: dict[str, Any] = {"dsn": dsn, "publication": "bench", "slot": "bench"}
    reading = made("source", "postgres_cdc", snapshot="never", until="end", **where)
    watch, total = Stopwatch(), 0
    for chunk in reading.read("bench", "", 2_000):
        total += len(chunk)
    reading.close()
    assert total == count
    return watch.figures(count)


def when_free(dsn: str, job: Job) -> Figures:
    """Wait until the slot's last reader is gone, then measure."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        busy = "select 1 from pg_replication_slots where active"
        eventually(lambda: not connection.execute(busy).fetchall(), what="the slot is free")
    return job()


@contextmanager
def contenders(transactions: int) -> Iterator[dict[str, Job]]:
    """Start a server; without PostgreSQL there is nothing to measure."""
    where = binaries()
    if where is None:
        yield {}
        return
    with PostgresServer(where) as server:
        fill(server, transactions)
        count = transactions * TRANSACTION
        jobs: dict[str, Job] = {
            "bare stream": partial(bare, server.dsn, count),
            "by SQL, at once": partial(asked, server.dsn, count),
            "source postgres_cdc": partial(source, server.dsn, count),
        }
        yield {name: partial(when_free, server.dsn, job) for name, job in jobs.items()}
