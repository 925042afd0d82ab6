"""`mode: upsert`: several rows with one key leave the same in a batch as one after another."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

from rsq_pipe.connectors.table import connector
from rsq_pipe.model.batch import Batch

ZONES = ["2026-03-01T10:00:00Z", "2026-03-01T11:00:00+01:00", "2026-03-01T09:30:00-01:00"]
NANOSECONDS = [1_772_000_000_000_000_003, 1_772_000_000_000_000_001, 1_772_000_000_000_000_002]

Run = Callable[[str], Any]


class Shop(NamedTuple):
    """
    A database.

    Args:
        kind: Of the sink.
        run: Executes SQL and returns its rows.
        options: How the sink reaches it.
        moment: The type of a moment.
    """

    kind: str
    run: Run
    options: dict[str, Any]
    moment: str


@pytest.fixture(params=["postgres", "mysql", "sqlite", "duckdb"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    kind = request.param
    if kind in {"postgres", "mysql"}:
        server = request.getfixturevalue("postgres" if kind == "postgres" else "mariadb")
        moment = "timestamptz" if kind == "postgres" else "datetime"
        return Shop(kind, server.execute, {"dsn": server.dsn}, moment)
    path = tmp_path / "database"
    run = _run_sqlite if kind == "sqlite" else _run_duckdb
    return Shop(kind, lambda sql: run(path, sql), {"path": str(path)}, "timestamptz")


def _run_sqlite(path: Path, sql: str) -> Any:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).fetchall()


def _run_duckdb(path: Path, sql: str) -> Any:
    with duckdb.connect(str(path)) as connection:
        return connection.execute(sql).fetchall()


def left(shop: Shop, columns: str, *batches: list[dict[str, Any]], **settings: Any) -> list[Any]:
    """Write batches into a new table, and return its rows."""
    table = f"newest_{os.urandom(6).hex()}"
    shop.run(f"create table {table} ({columns})")
    found = connector("sink", shop.kind)
    ledger = {"ledger": f"{table}_ledger"} if "dsn" in shop.options else {}
    options = found.options(**shop.options, **ledger, table=table, mode="upsert", key=["id"], **settings)
    sink = found.made(options, pipeline="p", stage="out", root=Path())
    sink.open(None)
    at = 0
    for rows in batches:
        failures = sink.write(Batch(rows, [f"r:{at + n}" for n in range(len(rows))])).failures
        assert not failures, failures
        at += len(rows)
    sink.close()
    return sorted(shop.run(f"select id, v, n from {table}"), key=repr)


CASES: dict[str, tuple[str, str, list[Any], list[Any]]] = {
    "whole numbers": ("int", "int", [1, 1.0, 2], [9, 10, 9.0]),
    "large numbers": ("int", "bigint", [1, 2], NANOSECONDS),
    "texts": ("varchar(9)", "varchar(9)", ["1", "1.0"], ["9", "10"]),
    "moments": ("MOMENT", "MOMENT", ZONES, ZONES),
    "numbers written as text": ("int", "int", ["1", "01", 1], ["9", "10"]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("settings", [{}, {"version": "v"}], ids=["last", "newest"])
def test_rows_of_one_key_leave_the_same_together_as_one_after_another(
    shop: Shop, case: str, settings: dict[str, Any]
) -> None:
    if case == "moments" and shop.kind == "sqlite":
        case = "texts"  # SQLite has no such type
    key, version, keys, versions = CASES[case]
    draw = random.Random(5)
    rows = [{"id": draw.choice(keys), "v": draw.choice(versions), "n": n} for n in range(16)]
    columns = f"id {key}, v {version}, n int, unique (id)".replace("MOMENT", shop.moment)

    together = left(shop, columns, rows[:3], rows[3:], **settings)

    assert together == left(shop, columns, *([row] for row in rows), **settings)
