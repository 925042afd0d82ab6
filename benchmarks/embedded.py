"""The sinks `duckdb` and `sqlite`, 500 rows per batch, compared with `executemany` without a ledger."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import duckdb

from benchmarks.measure import Figures, Job
from benchmarks.single import batches, made, timed, written
from rsq_pipe.model.batch import Batch

TITLE = "Into DuckDB and SQLite by 500 records"
SIZE = (200, 4)
BESIDE = {"sink duckdb": "bare executemany, DuckDB", "sink sqlite": "bare executemany, SQLite"}
COLUMNS = "id bigint, carrier varchar, name varchar, delay double, tail varchar"
INSERT = "insert into t values (?, ?, ?, ?, ?)"


def bare_duckdb(count: int) -> Figures:
    """Insert by executemany, without any guarantee; with few batches, because it is slow."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(f"{folder}/x.duckdb") as connection:
        connection.execute(f"create table t ({COLUMNS})")

        def write(batch: Batch) -> None:
            connection.execute("begin")
            connection.executemany(INSERT, [list(record.values()) for record in batch.records])
            connection.execute("commit")

        return timed(list(batches(count)), write)


def bare_sqlite(count: int) -> Figures:
    """Insert by executemany, with each batch forced to the disk."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(f"{folder}/x.db")) as connection:
        connection.execute(f"create table t ({COLUMNS})")

        def write(batch: Batch) -> None:
            with connection:
                connection.executemany(INSERT, [tuple(record.values()) for record in batch.records])

        return timed(list(batches(count)), write)


def sink(name: str, count: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        rows = made("sink", name, root=Path(folder), path=f"x.{name}", table="t", create=True)
        return written(rows, list(batches(count)))


@contextmanager
def contenders(count: int) -> Iterator[dict[str, Job]]:
    """Name the contenders that write into a database file."""
    yield {
        "bare executemany, DuckDB": partial(bare_duckdb, max(1, count // 20)),
        "sink duckdb": partial(sink, "duckdb", count),
        "bare executemany, SQLite": partial(bare_sqlite, count),
        "sink sqlite": partial(sink, "sqlite", count),
    }
