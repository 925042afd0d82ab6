"""Tables that are no plain tables, and columns of types that JSON does not have."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch
from rsq_pipe.ops.reach import reach
from rsq_pipe.spec.loader import load
from tests.support.postgres import PostgresServer


@pytest.fixture
def name() -> str:
    return f"odd_{os.urandom(6).hex()}"


def written(
    postgres: PostgresServer, table: str, folder: Path, *records: Any, **settings: Any
) -> dict[int, Exception]:
    """Write records, and return those that failed."""
    found = connector("sink", "postgres")
    options = found.options(dsn=postgres.dsn, table=table, ledger=f"{table}_ledger", **settings)
    sink = found.made(options, pipeline="p", stage="out", root=folder)
    try:
        sink.open(None)
        return dict(sink.write(Batch(list(records), rids=[f"r:{n}" for n in range(len(records))])).failures)
    finally:
        sink.close()


def told(postgres: PostgresServer, table: str, folder: Path, settings: str = "") -> str:
    """Return what `validate --connect` says is wrong with the sink."""
    (folder / "pyproject.toml").touch()
    (folder / "in.jsonl").write_text("{}\n")
    (folder / "p.yaml").write_text(
        "version: 1\npipeline: p\nstages:\n  read: {source: {type: jsonl, path: in.jsonl}}\n"
        f"  out: {{sink: {{type: postgres, dsn: '{postgres.dsn}', table: {table}{settings}}}}}\n"
    )
    return list(reach(load(folder / "p.yaml"), None))[-1].fault


VIEW = "create table {0}_t (id int primary key); create view {0} as select id from {0}_t"
TRIGGER = (
    "; create function {0}_f() returns trigger language plpgsql as"
    " $$ begin insert into {0}_t values (new.id); return new; end $$;"
    " create trigger {0}_g instead of insert on {0} for each row execute function {0}_f()"
)


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (VIEW, "it is a view, into which PostgreSQL does not copy rows; name its table, set `mode: upsert`"),
        ("create materialized view {0} as select 1 as id", "it is not a table, and takes no rows"),
        ("create sequence {0}", "it is not a table, and takes no rows; name a table"),
    ],
)
def test_what_takes_no_rows_is_told_before_the_first_record(
    postgres: PostgresServer, name: str, tmp_path: Path, made: str, what: str
) -> None:
    postgres.execute(made.format(name))

    assert what in told(postgres, name, tmp_path)
    with pytest.raises(SinkError, match=what[:20]):
        written(postgres, name, tmp_path)


@pytest.mark.parametrize(
    ("made", "settings"), [(VIEW + TRIGGER, {}), (VIEW, {"mode": "upsert", "key": ["id"]})]
)
def test_a_view_that_takes_rows_is_written(
    postgres: PostgresServer, name: str, tmp_path: Path, made: str, settings: dict[str, Any]
) -> None:
    postgres.execute(made.format(name))

    assert told(postgres, name, tmp_path, ", mode: upsert, key: [id]" if settings else "") == ""
    assert written(postgres, name, tmp_path, {"id": 1}, {"id": 2}, **settings) == {}
    assert postgres.execute(f"select id from {name}_t order by id") == [(1,), (2,)]


def test_whole_numbers_with_a_fraction_of_zero_are_written_into_columns_of_whole_numbers(
    postgres: PostgresServer, name: str, tmp_path: Path
) -> None:
    postgres.execute(f"create table {name} (a int, b bigint, c smallint[], d numeric)")

    failed = written(
        *(postgres, name, tmp_path),
        {"a": 2.0, "b": -1e15, "c": [1.0, 2], "d": 3.0},
        {"a": 2.5, "b": 1, "c": [], "d": 1},
        {"a": 1, "b": 1e300, "c": [], "d": 1},
    )

    assert set(failed) == {1, 2}
    assert postgres.execute(f"select a, b, c, d::text from {name}") == [(2, -(10**15), [1, 2], "3.0")]


def test_an_array_of_json_takes_values_of_every_kind(
    postgres: PostgresServer, name: str, tmp_path: Path
) -> None:
    values = [{"a": [1]}, [2, "x"], "text", 3, True, None]
    postgres.execute(f"create table {name} (a jsonb[], b json[])")

    assert written(postgres, name, tmp_path, {"a": values, "b": values}) == {}
    assert postgres.execute(f"select a, b from {name}") == [(values, values)]


def test_a_column_that_is_generated_is_to_be_left_out_of_columns(
    postgres: PostgresServer, name: str, tmp_path: Path
) -> None:
    postgres.execute(f"create table {name} (a int, b int generated always as (a * 2) stored)")

    with pytest.raises(SinkError, match=r"in COPY; remove it from `columns`"):
        written(postgres, name, tmp_path, {"a": 1, "b": 2}, columns={"a": "a", "b": "b"})


def test_an_hstore_is_written_from_a_mapping_and_one_that_cannot_be_read_is_one_dead_letter(
    postgres: PostgresServer, name: str, tmp_path: Path
) -> None:
    postgres.execute(f"create extension if not exists hstore; create table {name} (id int, a hstore)")
    pairs = {'q"\\': "x y", "n": None, "i": 3, "t": ""}

    failed = written(
        *(postgres, name, tmp_path),
        {"id": 1, "a": pairs},
        {"id": 2, "a": "no pairs"},
        {"id": 3, "a": "k=>v"},
        {"id": 4, "a": {}},
    )

    assert list(failed) == [1]
    assert postgres.execute(f"select id, hstore_to_json(a) from {name} order by id") == [
        (1, pairs | {"i": "3"}),
        (3, {"k": "v"}),
        (4, {}),
    ]


def test_a_composite_value_is_written_from_a_mapping(
    postgres: PostgresServer, name: str, tmp_path: Path
) -> None:
    postgres.execute(
        f"create type {name}_i as (x int, tags text[], j jsonb);"
        f" create type {name}_o as (id int, note text, empty text, inner_ {name}_i);"
        f" create table {name} (n int, a {name}_o, b {name}_i[])"
    )
    inner = {"x": 2.0, "tags": ['a"b', "c,d", None], "j": {"k": ["(\\"]}}
    whole = {"id": 1, "note": 'q"(),\\\t', "empty": "", "inner_": inner}

    failed = written(
        *(postgres, name, tmp_path),
        {"n": 1, "a": whole, "b": [inner, None, {"x": 1}]},
        {"n": 2, "a": {"note": None}, "b": []},
        {"n": 3, "a": {"nte": "x"}, "b": None},
        {"n": 4, "a": '(7,x,"",)', "b": None},
    )

    assert {place: str(fault) for place, fault in failed.items()} == {
        2: f"column 'a' holds {name}_o, which has no field 'nte'; it has id, note, empty, inner_"
    }
    nothing = {"id": None, "note": None, "empty": None, "inner_": None}
    assert postgres.execute(f"select n, to_jsonb(a), to_jsonb(b) from {name} order by n") == [
        (1, whole, [inner, None, {"x": 1, "tags": None, "j": None}]),
        (2, nothing, []),
        (4, {"id": 7, "note": "x", "empty": "", "inner_": None}, None),
    ]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.parametrize(
    ("made", "settings", "what"),
    [
        (
            "create table t (k int, v int)",
            {"mode": "upsert", "key": ["k"]},
            "a unique index on exactly the columns",
        ),
        ("create table b (k int); create view t as select k from b", {}, "is a view"),
        (
            "create table t (k int, v int generated always as (k * 2))",
            {"columns": {"k": "k", "v": "v"}},
            "generated column.*correct `columns`",
        ),
    ],
)
def test_a_table_in_a_file_that_takes_no_rows_is_told_before_the_first_record(
    tmp_path: Path, kind: str, made: str, settings: dict[str, Any], what: str
) -> None:
    file = tmp_path / "database"
    for statement in made.split(";"):
        if kind == "sqlite":
            with closing(sqlite3.connect(file)) as connection, connection:
                connection.execute(statement)
        else:
            with duckdb.connect(str(file)) as opened:
                opened.execute(statement)
    found = connector("sink", kind)
    options = found.options(path=str(file), table="t", **settings)
    sink = found.made(options, pipeline="p", stage="out", root=tmp_path)

    try:
        with pytest.raises(SinkError, match=f"(?i){what}"):
            sink.open(None)
    finally:
        sink.close()
