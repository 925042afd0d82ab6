"""
What every sink by the ledger guarantees: each record once, whoever is killed or paused, and when.

`STRIKES=120 SEED=7 pytest tests/integration/connectors/test_ledger_contract.py` strikes more often.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from rsq_pipe.streams.client import StreamClient
from tests.integration.connectors.struck_writer import TOTAL, Place, Writer, each_once
from tests.support.kafka import KafkaBroker, kafka
from tests.support.mariadb import MariadbServer, mariadb, mariadb_binary
from tests.support.postgres import PostgresServer, postgres, postgres_binaries
from tests.support.server import StreamServer

__all__ = ["kafka", "mariadb", "mariadb_binary", "postgres", "postgres_binaries"]

STRIKES = int(os.environ.get("STRIKES", "12"))
SEED = os.environ.get("SEED", "1")
KINDS = ["postgres", "sqlite", "kafka", "redis", "mysql", "duckdb"]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return sqlite_place(tmp_path / "database.sqlite")
    if request.param == "kafka":
        return kafka_place(request.getfixturevalue("kafka"))
    if request.param == "duckdb":
        return duckdb_place(tmp_path / "database.duckdb")
    if request.param == "redis":
        return redis_place(request.getfixturevalue("other_redis"))
    if request.param == "mysql":
        return mysql_place(request.getfixturevalue("mariadb"))
    server: PostgresServer = request.getfixturevalue("postgres")
    table = f"contract_{os.urandom(6).hex()}"
    server.execute(f"create table {table} (id int, pad text)")
    options = {"dsn": server.dsn, "table": table, "timeout": "2s", "ledger": f"{table}_ledger"}
    return Place(
        "postgres",
        options,
        lambda: [row[0] for row in server.execute(f"select id from {table}")],
        lambda: server.execute(f"truncate {table}; truncate {table}_ledger"),
    )


def sqlite_place(path: Path) -> Place:
    def run(sql: str) -> list[Any]:
        with closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(sql).fetchall()

    run("create table t (id int, pad text)")
    options = {"path": str(path), "table": "t"}

    def clear() -> None:
        run("delete from t")
        run("delete from rsq_pipe_ledger")

    return Place("sqlite", options, lambda: [row[0] for row in run("select id from t")], clear)


def kafka_place(broker: KafkaBroker) -> Place:
    options: dict[str, Any] = {"brokers": broker.address, "timeout": "5s", "key": None}

    def clear() -> None:
        options["topic"] = broker.make(f"contract_{os.urandom(6).hex()}", 3)
        options["ledger"] = f"{options['topic']}_ledger"

    clear()
    # Much goes on in the client between two steps.
    return Place(
        "kafka", options, lambda: [one["id"] for one in broker.values(options["topic"])], clear, calls=50_000
    )


def duckdb_place(path: Path) -> Place:
    def run(sql: str) -> list[Any]:
        with duckdb.connect(str(path)) as connection:
            return connection.execute(sql).fetchall()

    run("create table t (id int, pad text)")

    def clear() -> None:
        run("delete from t")
        run("delete from rsq_pipe_ledger")

    options = {"path": str(path), "table": "t"}
    return Place("duckdb", options, lambda: [row[0] for row in run("select id from t")], clear, calls=15_000)


def redis_place(server: StreamServer) -> Place:
    """A list, to which each record is added."""
    options: dict[str, Any] = {"url": server.url, "kind": "list"}

    async def asked(*command: str) -> Any:
        async with StreamClient.from_url(server.url) as client:
            return await client.channel.execute(*command, key="")

    def clear() -> None:
        options["key"] = f"contract-{os.urandom(6).hex()}"

    def ids() -> list[int]:
        return [json.loads(one)["id"] for one in asyncio.run(asked("LRANGE", options["key"], "0", "-1"))]

    clear()
    return Place("redis", options, ids, clear, calls=20_000)


def mysql_place(server: MariadbServer) -> Place:
    table = f"contract_{os.urandom(6).hex()}"
    server.execute(f"create table {table} (id int, pad text)")
    options = {"dsn": server.dsn, "table": table, "timeout": "2s", "ledger": f"{table}_ledger"}
    return Place(
        "mysql",
        options,
        lambda: [row[0] for row in server.execute(f"select id from {table}")],
        lambda: server.execute(f"delete from {table};\ndelete from {table}_ledger"),
    )


@pytest.mark.parametrize("place", [kind for kind in KINDS if kind != "duckdb"], indirect=True)
@pytest.mark.parametrize(("without", "batch"), [("rids", 3), ("epoch", 4)])
@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_with_a_check_of_the_ledger_switched_off_records_are_doubled(
    place: Place, tmp_path: Path, without: str, batch: int
) -> None:
    paused = Writer(place, tmp_path, kind="SIGSTOP", call=-batch, seed="a", without=without)
    assert paused.stopped()
    try:
        Writer(place, tmp_path, seed="b", without=without).end()
    finally:
        paused.resume()
    paused.end()

    found = place.ids()
    assert len(found) > len(set(found))


@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
@pytest.mark.chaos
def test_without_the_carried_ids_a_killed_writers_records_are_doubled_in_a_file_of_one_process(
    place: Place, tmp_path: Path
) -> None:
    assert Writer(place, tmp_path, call=-3, seed="a", without="rids").end()[0] == -signal.SIGKILL
    assert Writer(place, tmp_path, seed="b", without="rids").end()[0] == 0

    assert len(place.ids()) > len(set(place.ids()))


@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_a_paused_writer_keeps_all_others_out_of_a_file_of_one_process(place: Place, tmp_path: Path) -> None:
    # So there is no writer beside it that an epoch would have to fence off.
    paused = Writer(place, tmp_path, kind="SIGSTOP", call=-4, seed="a")
    assert paused.stopped()
    try:
        code, said = Writer(place, tmp_path, seed="b").end()
    finally:
        paused.resume()

    assert code == 1
    assert said.startswith("busy")
    assert paused.end()[1].startswith("lost")  # it has been taken over meanwhile
    assert Writer(place, tmp_path, seed="c").end()[0] == 0
    assert sorted(place.ids()) == list(range(TOTAL))


@pytest.mark.chaos
@pytest.mark.timeout(60 + 10 * STRIKES)
def test_each_record_stands_in_the_table_once_whoever_is_killed_or_paused(
    place: Place, tmp_path: Path
) -> None:
    each_once(place, tmp_path, STRIKES, SEED)
