"""What each kind of sink by the ledger writes to, and what stands in it."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from rsq_pipe.streams.client import StreamClient
from tests.integration.connectors.struck_writer import Place
from tests.support.kafka import KafkaBroker
from tests.support.mariadb import MariadbServer
from tests.support.postgres import PostgresServer
from tests.support.server import StreamServer

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
