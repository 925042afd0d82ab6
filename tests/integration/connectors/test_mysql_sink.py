"""The mysql sink writes values as its columns take them; what does not fit is a failure of that record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.mysql.options import Options
from rsq_pipe.connectors.mysql.sink import connect, endpoint
from rsq_pipe.connectors.sink import Sink, TargetUnavailableError
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch
from tests.support.mariadb import MariadbServer
from tests.support.private_server import PASSWORD

Make = Callable[..., Sink]


@pytest.fixture
def make(mariadb: MariadbServer, table: str) -> Iterator[Make]:
    made: list[Sink] = []

    def sink(**settings: Any) -> Sink:
        options = Options(**{"dsn": mariadb.dsn, "table": table, "ledger": f"{table}_ledger", **settings})
        one = connect(options, stage="out", root=Path(), pipeline="p", ledger="out")
        made.append(one)
        return one

    yield sink
    for one in made:
        one.close()


def batch(*records: Any, first: int = 0) -> Batch:
    return Batch(list(records), [f"read:{first + n}" for n in range(len(records))])


def opened(sink: Sink, position: str | None = None, **settings: Any) -> Sink:
    sink.open(position, **settings)
    return sink


def test_values_are_written_as_the_columns_take_them(mariadb: MariadbServer, make: Make, table: str) -> None:
    mariadb.execute(
        f"create table {table} (id int primary key, s varchar(50), d decimal(8,2), f double, ok boolean,"
        " at datetime(6), ts timestamp null, day date, doc json, raw longtext, twice int as (id * 2),"
        " n int default 7, nothing int)"
    )
    full = {
        "id": 1,
        "s": 'it\'s \\ "ä" %s',
        "d": "12.50",
        "f": 0.1,
        "ok": True,
        "day": "2026-11-27",
        "at": "2026-11-27T10:00:00.25+02:00",
        "ts": "2026-11-27T10:00:00Z",
        "doc": {"a": [1, None]},
        "raw": ["x", 1],
        "nothing": None,
    }
    written = opened(make()).write(
        batch(full, {**full, "id": 2, "doc": "text", "n": 8, "at": "2026-11-27T10:00:00"})
    )

    assert written.failures == {}
    rows = mariadb.execute(f"select * from {table} order by id")
    assert rows[0] == (
        *(1, full["s"], Decimal("12.50"), 0.1, 1, datetime(2026, 11, 27, 8, 0, 0, 250_000)),  # noqa: DTZ001
        *(rows[0][6], datetime(2026, 11, 27, tzinfo=UTC).date(), '{"a":[1,null]}', '["x",1]', 2, 7, None),
    )
    assert rows[1][5] == datetime(2026, 11, 27, 10)  # noqa: DTZ001
    assert (rows[1][8], rows[1][11]) == ('"text"', 8)
    assert mariadb.execute(f"select unix_timestamp(ts) from {table} limit 1") == [(Decimal(1795773600),)]


def test_each_bad_record_of_a_batch_fails_alone(mariadb: MariadbServer, make: Make, table: str) -> None:
    mariadb.execute(f"create table {table} (id int primary key, v tinyint check (v <> 5), s varchar(3))")
    records: list[dict[str, Any]] = [{"id": n, "v": 1, "s": "x"} for n in range(100)]
    records[7]["v"] = 1000
    records[8]["v"] = "no"
    records[9]["v"] = 5
    records[50]["s"] = "long"
    records[51] = {"id": 51, "v": 1}
    records[52]["more"] = 1
    records[53]["s"] = "\ud800"
    records[99]["id"] = 3

    failures = opened(make()).write(batch(*records)).failures

    assert sorted(failures) == [7, 8, 9, 50, 51, 52, 53, 99]
    assert "Out of range value for column 'v'" in str(failures[7])
    assert "Incorrect integer value: 'no' for column" in str(failures[8])
    assert "CONSTRAINT" in str(failures[9])
    assert "Data too long for column 's'" in str(failures[50])
    assert "Duplicate entry '3'" in str(failures[99])
    assert mariadb.execute(f"select count(*), count(distinct id) from {table}") == [(92, 92)]


def test_by_key_the_newest_stays_whatever_comes_last(mariadb: MariadbServer, make: Make, table: str) -> None:
    mariadb.execute(
        f"create table {table} (n int auto_increment primary key, id int unique, v int, at datetime, s text)"
    )
    sink = opened(make(mode="upsert", key=("id",), version="at", columns={"id": "id", "v": "v", "at": "at"}))
    day = "2026-11-{:02}".format
    sink.write(batch(*[{"id": n % 2, "v": n, "at": day(10 + n)} for n in range(6)]))
    sink.write(batch({"id": 0, "v": 100, "at": day(9)}, {"id": 1, "v": 101, "at": day(15)}, first=10))

    assert mariadb.execute(f"select id, v from {table} order by id") == [(0, 4), (1, 101)]


def test_a_table_is_made_for_what_comes(mariadb: MariadbServer, make: Make, table: str) -> None:
    sink = opened(make(create=True, rid=True, mode="upsert", key=("name",), types={"at": "datetime(3)"}))
    record = {"name": "a", "n": 1, "f": 1.5, "b": True, "l": [1], "at": "2026-11-27T10:00:00"}
    sink.write(batch(record, {**record, "n": 2, "big": None}, {**record, "name": "b"}))

    kinds = mariadb.execute(
        "select column_name, column_type from information_schema.columns where table_name = %s", table
    )
    assert dict(kinds) == {
        "rid": "longtext",
        "name": "varchar(255)",
        "n": "bigint(20)",
        "f": "double",
        "b": "tinyint(1)",
        "l": "longtext",
        "at": "datetime(3)",
    }
    assert mariadb.execute(f"select name, n, rid, l from {table} order by name") == [
        ("a", 1, "read:0", "[1]"),
        ("b", 1, "read:2", "[1]"),
    ]


@pytest.mark.parametrize(
    ("definition", "settings", "said"),
    [
        ("(id int) engine = MyISAM", {}, "its engine, MyISAM, has no transactions; run `alter table"),
        (
            "(id int)",
            {"mode": "upsert", "key": ("id",)},
            "needs a unique index on exactly the columns of `key`: id",
        ),
        (
            "(id int primary key, mail varchar(9) unique)",
            {"mode": "upsert", "key": ("id",)},
            r"it has another unique index, mail \(mail\): a record could replace a row with another key",
        ),
        ("", {}, "the table does not exist; make it, or set `create: true`"),
        ("(id int)", {"columns": {"nix": "id"}}, "it has no column 'nix'; it has id"),
        ("(id int)", {"dsn": "mysql://rsq:wrong-one@127.0.0.1:{port}/shop"}, "Access denied for user 'rsq'"),
        ("(id int)", {"dsn": "mysql://rsq:{password}@127.0.0.1:{port}/nix"}, "Unknown database 'nix'"),
        ("(id int)", {"tls": True, "ca": "nix.pem"}, "the file of `ca` cannot be used"),
    ],
)
def test_what_time_does_not_mend_is_an_error_that_says_what_to_do(
    mariadb: MariadbServer, make: Make, table: str, definition: str, settings: dict[str, Any], said: str
) -> None:
    if definition:
        mariadb.execute(f"create table {table} {definition}")
    if "dsn" in settings:
        settings = {"dsn": settings["dsn"].format(port=mariadb.port, password=PASSWORD)}

    with pytest.raises(SinkError, match=said) as error:
        opened(make(**settings))

    assert str(error.value).startswith(f"stage 'out': mysql table {table}: ")
    assert "wrong-one" not in str(error.value)
    assert PASSWORD not in str(error.value)


def test_a_record_larger_than_a_statement_may_be_fails_alone(own_mariadb: MariadbServer, table: str) -> None:
    own_mariadb.execute("set global max_allowed_packet = 1048576")
    own_mariadb.execute(f"create table {table} (id int, s longtext)")
    sink = connect(
        Options(dsn=own_mariadb.dsn, table=table), stage="out", root=Path(), pipeline="p", ledger="out"
    )
    sink.open(None)

    failures = sink.write(batch({"id": 1, "s": "x" * 1_100_000}, {"id": 2, "s": "y"})).failures

    assert list(failures) == [0]
    assert "max_allowed_packet" in str(failures[0])
    assert own_mariadb.execute(f"select id from {table}") == [(2,)]
    own_mariadb.kill()
    with pytest.raises(TargetUnavailableError):
        sink.write(batch({"id": 3, "s": "z"}, first=2))
    own_mariadb.start()
    sink.open("1")
    sink.write(batch({"id": 3, "s": "z"}, first=2))
    sink.close()
    assert own_mariadb.execute(f"select id from {table}") == [(2,), (3,)]


def test_fresh_asks_what_is_to_become_of_the_rows(mariadb: MariadbServer, make: Make, table: str) -> None:
    opened(make(create=True)).write(batch({"id": 1}))

    with pytest.raises(SinkError, match="it holds rows, and --fresh would write all records again"):
        opened(make(), "1", fresh=True)
    opened(make(fresh="empty"), "1", fresh=True)
    assert mariadb.execute(f"select * from {table}") == []


def test_a_mysql_sink_says_whether_its_table_can_be_reached(mariadb: MariadbServer, table: str) -> None:
    def reach(**settings: Any) -> str | None:
        options = Options(dsn=mariadb.dsn, table=table, **settings)
        return endpoint(options, stage="out", root=Path()).reach(5)

    assert reach(create=True) == "the table will be created"
    mariadb.execute(f"create table {table} (id int)")
    assert reach() == ""
    with pytest.raises(
        RefusedError, match="needs a unique index on exactly the columns of `key`: id; make one"
    ):
        reach(mode="upsert", key=["id"])
    mariadb.execute(f"alter table {table} engine = MyISAM")
    with pytest.raises(RefusedError, match="its engine, MyISAM, has no transactions"):
        reach()
