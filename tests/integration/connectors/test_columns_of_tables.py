"""Columns that a sink's table lacks or has too many are told before a run, and nothing that would work."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from msgspec import Struct

from rsq_pipe.connectors.table import connector
from rsq_pipe.model.batch import Batch
from rsq_pipe.ops.columns import column_problems
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from tests.support.mariadb import MariadbServer
from tests.support.postgres import PostgresServer

KINDS = ["postgres", "mysql", "sqlite", "duckdb"]


class Table(Struct, frozen=True):
    """A table, and a way to run statements beside the sink."""

    kind: str
    name: str
    options: dict[str, Any]
    run: Callable[[str], Any]

    @property
    def settings(self) -> str:
        return f"type: {self.kind}, " + ", ".join(
            f"{name}: '{value}'" for name, value in self.options.items()
        )


@pytest.fixture(params=KINDS)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    return made(request, tmp_path, request.param)


def made(request: pytest.FixtureRequest, folder: Path, kind: str) -> Table:
    name = f"columns_{os.urandom(6).hex()}"
    path = folder / "database"

    def in_sqlite(sql: str) -> list[Any]:
        with closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(sql).fetchall()

    def in_duckdb(sql: str) -> list[Any]:
        with duckdb.connect(str(path)) as connection:
            return connection.execute(sql).fetchall()

    if kind in {"sqlite", "duckdb"}:
        run = in_sqlite if kind == "sqlite" else in_duckdb
        return Table(kind, name, {"path": str(path), "table": name}, run)
    server: PostgresServer | MariadbServer = request.getfixturevalue(
        {"postgres": "postgres", "mysql": "mariadb"}[kind]
    )
    options = {"dsn": server.dsn, "table": name, "ledger": f"{name}_ledger"}
    return Table(kind, name, options, server.execute)


def graph_of(folder: Path, stages: str) -> Graph:
    (folder / "pyproject.toml").touch()
    (folder / "in.jsonl").write_text("{}\n")
    (folder / "p.yaml").write_text(
        f"version: 1\npipeline: p\nstages:\n  read: {{source: {{type: jsonl, path: in.jsonl}}}}\n{stages}"
    )
    return load(folder / "p.yaml", check_fields=True)


def told(folder: Path, table: Table, above: str, settings: str = "") -> list[str]:
    """Return what is told of a sink below some stages, without the file and the table's own name."""
    more = f", {settings}" if settings else ""
    graph = graph_of(folder, f"{above}\n  out: {{sink: {{{table.settings}{more}}}}}\n")
    file = f"{folder / 'p.yaml'}:"
    problems = column_problems(graph, 10)
    return [str(one).removeprefix(file).replace(table.name, "TABLE") for one in problems]


def failures(table: Table, folder: Path, record: dict[str, Any], **settings: Any) -> dict[int, Exception]:
    """Write one record, and return how it failed."""
    found = connector("sink", table.kind)
    options = found.options(**table.options, **settings)
    stage = f"out-{os.urandom(6).hex()}"  # each call is another writer
    sink = found.made(options, pipeline="p", stage=stage, root=folder)
    try:
        sink.open(None)
        batch = Batch([record], rids=["r:1"])
        return dict(sink.write(batch).failures)
    finally:
        sink.close()


SELECT = "  pick: {select: [id, custmer, paid]}"


def test_fields_without_a_column_and_columns_without_a_field_are_told_at_once(
    table: Table, tmp_path: Path
) -> None:
    table.run(f"create table {table.name} (id int primary key, customer text, total int, day date)")

    found = told(tmp_path, table, SELECT)

    assert len(found) == 4
    assert {one.split(": ")[1] for one in found} == {"stages.out.sink.table"}
    assert {one.split(":")[0] for one in found} == {"6"}
    text = "\n".join(found)
    assert "each record has a field 'custmer', by stage 'pick', and table 'TABLE' has no such column" in text
    assert "did you mean 'customer'? Rename one of the two, or set `extra: ignore`" in text
    assert "each record has a field 'paid'" in text
    assert "no record has a field for column 'total' of table 'TABLE', by stage 'pick'" in text
    assert "no record has a field for column 'day'" in text


@pytest.mark.parametrize(
    "above",
    [
        "  pick: {select: [id, total]}",
        "  pick: {map: {note: null}}",  # what else a record of the file has is not known
        "  pick: {map: {total: id + 1}}",
        "  pick: {call: 'json:loads'}",
        "  pick: {aggregate: {by: id, compute: {total: count()}}}",
        "  pick: {sql: 'select id, 3 as total from batch'}",
        "  pick: {sql: 'select * from batch'}",
        "  pick: {validate: {fields: {id: int, note: str?}, extra: drop}}",
    ],
)
def test_nothing_is_told_of_records_that_fit_or_may_fit(table: Table, tmp_path: Path, above: str) -> None:
    table.run(f"create table {table.name} (id int primary key, total int default 3)")

    assert told(tmp_path, table, above) == []


@pytest.mark.parametrize(
    ("above", "by"),
    [
        ("  pick: {map: {totl: id + 1}}", "stage 'pick'"),
        ("  a: {map: {x: null}}\n  pick: {map: {totl: id + 1}}\n  b: {filter: totl > 1}", "stage 'pick'"),
        ("  pick: {aggregate: {by: id, compute: {totl: count()}}}", "stage 'pick'"),
        ("  pick: {sql: 'select id, 3 as totl from batch'}", "stage 'pick'"),
        ("  pick: {sql: 'select *, 3 as totl from batch'}", "stage 'pick'"),
        ("  a: {call: 'json:loads'}\n  pick: {select: {rename: {a: totl}}}", "stage 'pick'"),
    ],
)
def test_a_field_that_a_stage_adds_is_told_whatever_else_its_records_hold(
    table: Table, tmp_path: Path, above: str, by: str
) -> None:
    table.run(f"create table {table.name} (id int primary key, total int default 3)")

    [found] = told(tmp_path, table, above)

    assert f"each record has a field 'totl', by {by}, and table 'TABLE' has no such column" in found
    assert "did you mean 'total'?" in found
    assert told(tmp_path, table, above, "extra: ignore") == []


def test_only_the_stages_that_are_run_are_checked(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    table = made(request, tmp_path, "sqlite")
    table.run(f"create table {table.name} (id int primary key)")
    graph = graph_of(tmp_path, f"{SELECT}\n  out: {{sink: {{{table.settings}}}}}\n")

    assert [len(column_problems(graph, 10, stages)) for stages in ([], ["out"], ["pick"])] == [2, 2, 0]


def test_columns_of_the_settings_that_the_table_lacks_are_told_all_at_once(
    table: Table, tmp_path: Path
) -> None:
    table.run(f"create table {table.name} (id int primary key, customer text, seen int)")

    found = told(
        tmp_path,
        table,
        "  pick: {call: 'json:loads'}",
        "mode: upsert, key: [idd], version: sen, rid: true, columns: {idd: a, custmer: b, sen: c}",
    )

    text = "\n".join(found)
    assert len(found) == 4, text
    assert "stages.out.sink.columns.idd: table 'TABLE' has no column 'idd'; did you mean 'id'?" in text
    assert "columns.custmer: table 'TABLE' has no column 'custmer'; did you mean 'customer'?" in text
    assert "stages.out.sink.rid: table 'TABLE' has no column 'rid'" in text


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_column_that_must_have_a_value_and_is_left_out_is_told_as_each_record_fails(
    table: Table, tmp_path: Path, mode: str
) -> None:
    table.run(
        f"create table {table.name} (id int primary key, customer varchar(9) not null, note varchar(9),"
        " total int not null default 3)"
    )
    upsert = ", mode: upsert, key: [id]" if mode == "upsert" else ""

    found = told(tmp_path, table, "  pick: {call: 'json:loads'}", "columns: {id: id}" + upsert)

    key = {"mode": "upsert", "key": ["id"]} if upsert else {}
    assert list(failures(table, tmp_path, {"id": 1}, columns={"id": "id"}, **key)) == [0]
    [told_] = found
    assert "column 'customer' of table 'TABLE' may not be null and has no default" in told_
    assert "`columns` leaves it out; add `customer: FIELD`" in told_
    assert (
        told(tmp_path, table, "  pick: {select: [id, note]}", "missing: empty, extra: ignore" + upsert) != []
    )


FILLED = {
    "postgres": [
        "create table T (id int, c int not null generated always as identity)",
        "create table T (id int, c serial)",
        "create table T (id int, c int generated always as (id + 1) stored)",
        "create domain T_d as int not null default 4; create table T (id int, c T_d)",
        (
            "create table T (id int, c int not null); create function T_f() returns trigger"
            " language plpgsql as $$ begin new.c = 5; return new; end $$;"
            " create trigger T_t before insert on T for each row execute function T_f()"
        ),
        (
            "create table T (id int, c int not null) partition by list (id);"
            " create table T_1 partition of T for values in (1); create function T_f() returns trigger"
            " language plpgsql as $$ begin new.c = 5; return new; end $$;"
            " create trigger T_t before insert on T_1 for each row execute function T_f()"
        ),
    ],
    "mysql": [
        "create table T (id int, c int not null auto_increment primary key)",
        "create table T (id int, c enum('a', 'b') not null)",
        "create table T (id int, c int generated always as (id + 1) stored)",
        (
            "create table T (id int, c int not null);"
            " create trigger T_t before insert on T for each row set new.c = 5"
        ),
    ],
    "sqlite": [
        "create table T (id int, c integer primary key not null)",
        "create table T (id int, c int not null default (3 + 1))",
        "create table T (id int, c int generated always as (id + 1))",
    ],
    "duckdb": [
        "create table T (id int, c int not null default 3)",
        "create sequence T_s; create table T (id int, c int not null default nextval('T_s'))",
    ],
}


@pytest.mark.parametrize(
    ("kind", "statements"), [(kind, made) for kind, several in FILLED.items() for made in several]
)
def test_nothing_is_told_of_a_column_that_gets_its_value_elsewhere(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, statements: str
) -> None:
    table = made(request, tmp_path, kind)
    text = statements.replace("T_", f"{table.name}_").replace("T ", f"{table.name} ")
    text = text.replace("T(", f"{table.name}(")
    for statement in [text] if kind == "postgres" else text.split(";"):
        table.run(statement)

    assert told(tmp_path, table, "  pick: {select: [id]}", "columns: {id: id}") == []
    assert failures(table, tmp_path, {"id": 1}, columns={"id": "id"}) == {}


def test_a_column_that_the_database_computes_is_told_if_it_is_to_be_written(
    table: Table, tmp_path: Path
) -> None:
    stored = "" if table.kind == "duckdb" else "stored"
    table.run(f"create table {table.name} (id int, twice int generated always as (id * 2) {stored})")

    [field] = told(tmp_path, table, "  pick: {select: [id, twice]}")
    [column] = told(tmp_path, table, "  pick: {call: 'json:loads'}", "columns: {id: id, twice: two}")

    assert "column 'twice' of table 'TABLE' is computed; remove the field" in field
    assert "stages.out.sink.columns.twice: column 'twice' of table 'TABLE' is computed; remove it" in column
    assert told(tmp_path, table, "  pick: {select: [id]}") == []
    assert failures(table, tmp_path, {"id": 1}) == {}
    assert list(failures(table, tmp_path, {"id": 1, "twice": 2})) == [0]


def test_an_identity_that_copied_rows_may_set_is_not_told(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    table = made(request, tmp_path, "postgres")
    table.run(f"create table {table.name} (id int generated always as identity primary key, a int)")
    columns = "columns: {id: id, a: a}"

    assert told(tmp_path, table, "  pick: {call: 'json:loads'}", columns) == []
    assert failures(table, tmp_path, {"id": 7, "a": 1}, columns={"id": "id", "a": "a"}) == {}
    assert (
        len(told(tmp_path, table, "  pick: {call: 'json:loads'}", f"{columns}, mode: upsert, key: id")) == 1
    )


@pytest.mark.parametrize("kind", ["mysql", "duckdb", "postgres"])
@pytest.mark.parametrize("value", [1.5, "2.50", "-.25 "])
def test_a_number_with_a_fraction_is_not_rounded_into_a_column_of_whole_numbers(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, value: Any
) -> None:
    table = made(request, tmp_path, kind)
    table.run(f"create table {table.name} (a int, b decimal(9, 2))")

    assert list(failures(table, tmp_path, {"a": value, "b": 1})) == [0]
    assert failures(table, tmp_path, {"a": 2.0, "b": value}) == {}
    assert failures(table, tmp_path, {"a": "3", "b": 1}) == {}
    assert table.run(f"select a from {table.name} order by a") == [(2,), (3,)]


def test_a_row_for_which_a_table_has_no_partition_is_one_dead_letter(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    table = made(request, tmp_path, "mysql")
    table.run(
        f"create table {table.name} (id int primary key)"
        " partition by range (id) (partition low values less than (10))"
    )

    [fault] = failures(table, tmp_path, {"id": 11}).values()

    assert "Table has no partition for value 11" in str(fault)


def test_nothing_is_told_of_a_table_that_is_missing_or_cannot_be_reached(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database\n" * 100)
    stages = (
        "  pick: {select: [id]}\n"
        "  a: {sink: {type: postgres, dsn: 'postgresql://127.0.0.1:1/d', table: t, columns: {no: id}}}\n"
        "  b: {from: pick, sink: {type: mysql, dsn: 'mysql://u@127.0.0.1:1/d', table: t}}\n"
        "  c: {from: pick, sink: {type: sqlite, path: no.db, table: t, create: true}}\n"
        "  d: {from: pick, sink: {type: sqlite, path: notes.txt, table: t, create: true}}\n"
    )

    assert list(column_problems(graph_of(tmp_path, stages), 5)) == []


def test_columns_that_the_query_of_a_lookup_does_not_give_are_told(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    table = made(request, tmp_path, "postgres")
    table.run(f"create table {table.name} (id int primary key, country text)")
    query = f"select id, country as land from {table.name} where id = any($1)"
    wanted = {
        "fits": "key: id, fields: [land]",
        "key": "key: number, as: customer",
        "by": "key: number, by: idd, as: customer",
        "fields": "key: number, by: id, fields: [land, country]",
    }
    graph = graph_of(
        tmp_path,
        "".join(
            f"  {name}: {{from: read, lookup: {{table: {{postgres: {{dsn: '{table.options['dsn']}',"
            f" query: '{query}'}}}}, {settings}}}}}\n"
            for name, settings in wanted.items()
        )
        + f"  out: {{from: [{', '.join(wanted)}], sink: {{type: stdout}}}}\n",
    )

    problems = {one.path: f"{one.what}; {one.fix}" for one in column_problems(graph, 10)}

    assert set(problems) == {
        "stages.key.lookup.key",
        "stages.by.lookup.by",
        "stages.fields.lookup.fields[1]",
    }
    assert "gives no column 'idd'; did you mean 'id'?" in problems["stages.by.lookup.by"]
    assert "gives no column 'number'; name the table's own" in problems["stages.key.lookup.key"]
    assert "gives no column 'country'" in problems["stages.fields.lookup.fields[1]"]
