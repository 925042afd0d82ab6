"""The duckdb sink: rows with their ledger, a bad one alone refused; kills are in the contract of ledgers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from rsq_pipe.connectors.sink import Sink, TargetBusyError
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch


def sink(root: Path, **settings: Any) -> Sink:
    found = connector("sink", "duckdb")
    options = found.options(path="out/x.duckdb", table="t", **settings)
    made: Sink = found.made(options, pipeline="p", stage="out", root=root)
    return made


def rows(root: Path, sql: str = "select * from t") -> list[Any]:
    with duckdb.connect(str(root / "out/x.duckdb")) as connection:
        return connection.execute(sql).fetchall()


def batch(*records: Any) -> Batch:
    return Batch(list(records), [f"r{number}" for number, _ in enumerate(records)])


def written(root: Path, *records: Any, **settings: Any) -> dict[int, str]:
    """Write one batch; return what failed."""
    one = sink(root, **settings)
    one.open(None)
    try:
        return {place: str(exc) for place, exc in one.write(batch(*records)).failures.items()}
    finally:
        one.close()


def test_a_table_is_made_for_the_first_batch(tmp_path: Path) -> None:
    first = {"n": 1, "x": 1, "t": 'a "b"', "l": [1], "ok": True}
    second = {"n": 2, "x": 0.5, "t": None, "l": None, "ok": False}

    assert written(tmp_path, first, second, create=True, rid=True) == {}

    assert rows(tmp_path) == [("r0", 1, 1.0, 'a "b"', "[1]", True), ("r1", 2, 0.5, None, None, False)]
    assert rows(tmp_path, "select name, type from pragma_table_info('t')") == [
        ("rid", "VARCHAR"),
        ("n", "BIGINT"),
        ("x", "DOUBLE"),
        ("t", "VARCHAR"),
        ("l", "JSON"),
        ("ok", "BOOLEAN"),
    ]


def test_values_become_what_their_columns_hold(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    rows(
        tmp_path,
        "create table t (day date, price decimal(10, 2), l int[], s struct(a int, b varchar), txt varchar)",
    )

    failed = written(
        tmp_path,
        {"day": "2026-01-31", "price": "1.50", "l": [1, 2], "s": {"a": 1, "b": "x"}, "txt": {"k": 1}},
    )

    assert failed == {}
    query = "select day::varchar, price::varchar, l, s, txt from t"
    assert rows(tmp_path, query) == [("2026-01-31", "1.50", [1, 2], {"a": 1, "b": "x"}, '{"k":1}')]


def test_what_was_not_settled_is_not_written_again(tmp_path: Path) -> None:
    one = sink(tmp_path, create=True)
    position = one.open(None)
    one.write(batch({"n": 1}, {"n": 2}))
    one.close()
    again = sink(tmp_path)
    again.open(position)
    again.write(Batch([{"n": 3}, {"n": 2}], ["r9", "r1"]))
    again.close()

    assert rows(tmp_path) == [(1,), (2,), (3,)]


def test_one_bad_record_fails_alone_though_there_are_no_savepoints(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    rows(tmp_path, "create table t (n integer unique check (n <> 3), x double)")

    values: list[dict[str, Any]] = [{"n": n, "x": 1} for n in range(20)]
    values += [{"n": 2**70, "x": 1}, {"n": 21, "x": float("nan")}, {"n": 22.5, "x": 1}, {"n": 7, "x": 1}]
    values += [{"n": "many", "x": 1}, {"n": 30, "x": 1}]
    failed = written(tmp_path, *values)

    assert sorted(failed) == [3, 20, 21, 22, 23, 24]
    assert "table t of out/x.duckdb does not take the record: Constraint Error: CHECK" in failed[3]
    assert "not a finite number" in failed[21]
    assert "22.5 is not a whole number, and column 'n' holds INTEGER" in failed[22]
    assert "uplicate key" in failed[23]
    assert [row[0] for row in rows(tmp_path, "select n from t order by n")] == [
        *(n for n in range(20) if n != 3),
        30,
    ]


def test_upsert_replaces_by_key_unless_the_version_is_older(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"mode": "upsert", "key": ("id",), "version": "v"}
    written(
        tmp_path,
        {"id": 1, "v": 1},
        {"id": 1, "v": 10},
        {"id": 1, "v": 9},
        {"id": 2, "v": 1},
        create=True,
        **settings,
    )
    assert sorted(rows(tmp_path)) == [(1, 10), (2, 1)]

    one = sink(tmp_path, **settings)
    one.open("1")
    one.write(Batch([{"id": 1, "v": 9}, {"id": 2, "v": 2}], ["s1", "s2"]))
    one.close()
    assert sorted(rows(tmp_path)) == [(1, 10), (2, 2)]


def test_a_file_that_another_process_has_open_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    rows(tmp_path, "create table t (n integer)")
    file = str(tmp_path / "out/x.duckdb")
    code = f"import duckdb, sys; c = duckdb.connect({file!r}); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(TargetBusyError, match=rf"process {other.pid} \(.+\) has out/x.duckdb open$"):
            sink(tmp_path).open(None)


def test_a_table_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"table t of out/x[.]duckdb: the table does not exist; make it"):
        sink(tmp_path).open(None)
