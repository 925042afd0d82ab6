"""A server ends what a process has left open there, if the network or the process's host is gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rsq_pipe.connectors.mysql import connection as mysql
from rsq_pipe.connectors.mysql.options import Options
from rsq_pipe.connectors.postgres.connection import Connection
from tests.support.mariadb import MariadbServer
from tests.support.postgres import PostgresServer


@pytest.fixture
def closed() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_mariadb_ends_the_transaction_of_a_process_that_has_fallen_silent(
    mariadb: MariadbServer, table: str, monkeypatch: pytest.MonkeyPatch, closed: ExitStack
) -> None:
    monkeypatch.setattr(mysql, "_IDLE", 1)
    mariadb.execute(f"create table {table} (id int primary key)")
    silent = mysql.Connection(Options(dsn=mariadb.dsn, table=table), Path(), 30.0)
    closed.callback(silent.close)
    silent.open()
    silent.execute("begin")
    silent.execute(f"insert into {table} values (1)")

    mariadb.execute(f"set innodb_lock_wait_timeout = 20;\ninsert into {table} values (1)")

    assert mariadb.execute(f"select count(*) from {table}") == [(1,)]


def test_postgres_is_told_to_end_the_session_of_a_process_that_is_gone_within_a_minute(
    postgres: PostgresServer, closed: ExitStack
) -> None:
    connection = Connection(postgres.dsn, 30.0)
    closed.callback(connection.close)
    connection.open()

    names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
    idle, interval, count = (int(connection.execute(f"show {name}")[0][0]) for name in names)

    assert idle + interval * count == 60
