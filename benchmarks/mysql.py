"""The mysql sink, compared with a bare loop of multi-row INSERT plus a ledger's row, on MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pymysql

from benchmarks.measure import Figures, Job
from benchmarks.single import batches, made, timed
from rsq_pipe.model.batch import Batch
from tests.support.mariadb import MariadbServer, binary
from tests.support.private_server import PASSWORD

TITLE = "Into MariaDB by 500 records"
SIZE = (200, 5)
BESIDE = {"sink mysql": "bare INSERT and ledger", "sink mysql, upsert": "bare INSERT and ledger"}
COLUMNS = "id bigint, carrier text, name text, delay double, tail text"


def connected(dsn: str) -> pymysql.Connection[Any]:
    port = urlsplit(dsn).port or 0
    return pymysql.connect(host="127.0.0.1", port=port, user="rsq", password=PASSWORD, database="shop")


def prepare(dsn: str, *statements: str) -> None:
    """Recreate the tables."""
    with closing(connected(dsn)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


def bare(dsn: str, count: int) -> Figures:
    """Do the minimum: advance the ledger's row, insert with PyMySQL's own rows, commit."""
    prepare(
        *(dsn, "drop table if exists bare, own", f"create table bare ({COLUMNS})"),
        *("create table own (id int primary key, rids longtext)", "insert into own values (1, '')"),
    )
    with closing(connected(dsn)) as connection:

        def write(batch: Batch) -> None:
            with connection.cursor() as cursor:
                cursor.execute("update own set rids = %s where id = 1", [",".join(batch.rids)])
                rows = [tuple(record.values()) for record in batch.records]
                cursor.executemany("insert into bare values (%s, %s, %s, %s, %s)", rows)
            connection.commit()

        return timed(list(batches(count)), write)


def sink(dsn: str, count: int, **settings: Any) -> Figures:
    table = f"sunk_{settings.get('mode', 'append')}"
    key = ", primary key (id)" if settings else ""
    prepare(dsn, f"drop table if exists {table}, {table}_ledger", f"create table {table} ({COLUMNS}{key})")
    writing = made("sink", "mysql", dsn=dsn, table=table, ledger=f"{table}_ledger", **settings)
    writing.open(None)
    try:
        return timed(list(batches(count)), writing.write)
    finally:
        writing.close()


@contextmanager
def contenders(count: int) -> Iterator[dict[str, Job]]:
    """Start a server; without MariaDB there is nothing to measure."""
    where = binary()
    if where is None:
        yield {}
        return
    with MariadbServer(where) as server:
        upsert = {"mode": "upsert", "key": ("id",)}
        yield {
            "bare INSERT and ledger": partial(bare, server.dsn, count),
            "sink mysql": partial(sink, server.dsn, count),
            "sink mysql, upsert": partial(sink, server.dsn, count, **upsert),
        }
