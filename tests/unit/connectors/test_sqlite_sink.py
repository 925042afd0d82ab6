"""The sqlite sink: rows with their ledger, a bad one alone refused; kills are in the contract of ledgers."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.sink import Sink, TargetBusyError
from rsq_pipe.connectors.sqlite import database
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch

MADE: list[Sink] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close every sink, as an engine does: since Python 3.13 a forgotten connection is a warning."""
    yield
    while MADE:
        MADE.pop().close()


def sink(root: Path, **settings: Any) -> Sink:
    found = connector("sink", "sqlite")
    options = found.options(path="out/x.sqlite", table="t", **settings)
    made: Sink = found.made(options, pipeline="p", stage="out", root=root)
    MADE.append(made)
    return made


def rows(root: Path, sql: str = "select * from t") -> list[Any]:
    with closing(sqlite3.connect(root / "out/x.sqlite")) as connection:
        return connection.execute(sql).fetchall()


def batch(*records: Any) -> Batch:
    return Batch(list(records), [f"r{number}" for number, _ in enumerate(records)])


def test_a_table_is_made_for_the_first_batch(tmp_path: Path) -> None:
    one = sink(tmp_path, create=True, rid=True)
    one.open(None)
    written = one.write(batch({"n": 1, "x": 1, "t": "a", "l": [1]}, {"n": 2, "x": 0.5, "t": None, "l": None}))
    one.close()

    assert not written.failures
    assert rows(tmp_path) == [("r0", 1, 1.0, "a", "[1]"), ("r1", 2, 0.5, None, None)]
    assert rows(tmp_path, "select name, type from pragma_table_info('t')")[:3] == [
        ("rid", "TEXT"),
        ("n", "INTEGER"),
        ("x", "REAL"),
    ]


@pytest.mark.parametrize("kind", ["text", "VARCHAR(40)", "clob", "real", "", "int", "charint", "any"])
def test_a_number_keeps_all_its_digits_in_a_column_of_any_type(tmp_path: Path, kind: str) -> None:
    numbers = [0.1 + 0.2, -0.5, 1e16, 1.7976931348623157e308, 5e-324, 123456789012345680.0]
    (tmp_path / "out").mkdir()
    with closing(sqlite3.connect(tmp_path / "out/x.sqlite")) as connection:
        connection.execute(f"create table t (n {kind})")
    one = sink(tmp_path)
    one.open(None)
    written = one.write(batch(*({"n": number} for number in numbers), {"n": float("nan")}))
    one.close()

    assert [str(error) for error in written.failures.values()] == ["column 'n': $ is not a finite number"]
    assert [float(row[0]) for row in rows(tmp_path)] == numbers


def test_what_was_not_settled_is_not_written_again(tmp_path: Path) -> None:
    one = sink(tmp_path, create=True)
    position = one.open(None)
    one.write(batch({"n": 1}, {"n": 2}))
    again = sink(tmp_path)
    one.close()
    again.open(position)
    again.write(Batch([{"n": 3}, {"n": 2}], ["r9", "r1"]))

    assert rows(tmp_path) == [(1,), (2,), (3,)]


def test_one_bad_record_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    rows(tmp_path, "create table t (n integer check (n <> 3), x)")
    one = sink(tmp_path)
    one.open(None)
    values = [
        {"n": 1, "x": 1},
        {"n": 3, "x": 1},
        {"n": 2**70, "x": 1},
        {"n": 4, "x": float("nan")},
        {"n": 5, "x": 1},
    ]
    written = one.write(batch(*values))

    assert sorted(written.failures) == [1, 2, 3]
    assert "CHECK constraint failed" in str(written.failures[1])
    assert "a whole number of more than 64 bits" in str(written.failures[2])
    assert "not a finite number" in str(written.failures[3])
    assert [row[0] for row in rows(tmp_path)] == [1, 5]


def test_upsert_replaces_by_key_unless_the_version_is_older(tmp_path: Path) -> None:
    one = sink(tmp_path, create=True, mode="upsert", key=("id",), version="v")
    one.open(None)
    one.write(batch({"id": 1, "v": 1}, {"id": 1, "v": 3}, {"id": 1, "v": 2}, {"id": 2, "v": 1}))

    assert rows(tmp_path) == [(1, 3), (2, 1)]


def test_a_table_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"table t of out/x[.]sqlite: the table does not exist; make it"):
        sink(tmp_path).open(None)


IN_A_TRANSACTION = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin immediate")
connection.execute("create table other (n)")
print("writes", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell who has a lock")
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_process_that_is_paused_in_a_transaction_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(database, "_WAIT", 0.1)
    one = sink(tmp_path, create=True)
    position = one.open(None)
    rows(tmp_path, f"pragma journal_mode = {mode}")
    file = str(tmp_path / "out/x.sqlite")
    with subprocess.Popen(
        [sys.executable, "-c", IN_A_TRANSACTION, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(TargetBusyError, match=rf"^process {other.pid} \(.+\) is using out/x.sqlite$"):
            one.write(batch({"n": 1}))
        other.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, other.pid, os.WSTOPPED)
        try:
            with pytest.raises(TargetBusyError, match=rf"is paused \(SIGSTOP\): .*kill -CONT {other.pid}"):
                one.write(batch({"n": 1}))
        finally:
            other.kill()

    one.open(position)
    one.write(batch({"n": 1}))
    assert rows(tmp_path) == [(1,)]
