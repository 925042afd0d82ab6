"""The postgres source reads each version of a row once, whenever it is committed, and goes on exactly."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rsq_pipe.connectors.endpoint import UnreachableError
from rsq_pipe.connectors.postgres.source import Options, endpoint
from rsq_pipe.connectors.source import Arrival, Source
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SourceError
from tests.support.postgres import PostgresServer


@pytest.fixture
def table(postgres: PostgresServer, name: str) -> str:
    table = name.replace("-", "_")
    postgres.execute(
        f"create table {table} (id bigint primary key, v text, at timestamptz not null default now());"
        f" insert into {table} select n, 'v' || n from generate_series(1, 25) n"
    )
    return table


def source(postgres: PostgresServer, table: str, **settings: Any) -> Source:
    found = connector("source", "postgres")
    options = found.options(dsn=postgres.dsn, table=table, key=("id",), **settings)
    made: Source = found.made(options, pipeline="p", stage="read", root=Path())
    return made


def read(source: Source, position: str, size: int = 10) -> tuple[list[Arrival], str]:
    arrivals: list[Arrival] = []
    for chunk in source.read("", position, size):
        arrivals += chunk.arrivals
        position = chunk.position
    return arrivals, position


def ids(arrivals: list[Arrival]) -> list[int]:
    return [arrival.data["id"] for arrival in arrivals if arrival.data]


@pytest.mark.parametrize("settings", [{}, {"cursor": "at"}])
def test_a_row_that_commits_late_is_not_lost(
    postgres: PostgresServer, table: str, settings: dict[str, Any]
) -> None:
    with psycopg.connect(postgres.dsn) as late:
        late.execute(f"insert into {table} values (100, 'late')".encode())
        postgres.execute(f"insert into {table} values (101, 'quick')")
        first, position = read(source(postgres, table, **settings), "")
        postgres.execute(f"insert into {table} values (102, 'quick')")
        second, position = read(source(postgres, table, **settings), position)
        late.commit()
    third, position = read(source(postgres, table, **settings), position)
    postgres.execute(f"update {table} set v = 'new', at = now() where id in (3, 100)")
    fourth, position = read(source(postgres, table, **settings), position)
    fifth, _ = read(source(postgres, table, **settings), position)

    assert sorted(ids(first) + ids(second) + ids(third)) == [*range(1, 26), 100, 101, 102]
    assert 100 in ids(third)
    assert ids(fourth) == [3, 100]
    assert ids(fifth) == []
    every = [arrival.offset for arrival in (*first, *second, *third, *fourth)]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("settings", [{}, {"columns": ("id", "t", "r")}])
def test_a_table_whose_columns_have_the_names_of_aliases_is_read(
    postgres: PostgresServer, name: str, settings: dict[str, Any]
) -> None:
    table = name.replace("-", "_")
    postgres.execute(
        f"create table {table} (id bigint primary key, t text, r int); insert into {table} values (1, 'x', 2)"
    )

    arrivals, _ = read(source(postgres, table, **settings), "")

    assert [arrival.data for arrival in arrivals] == [{"id": 1, "t": "x", "r": 2}]


def test_it_goes_on_exactly_from_every_position(postgres: PostgresServer, table: str) -> None:
    whole, _ = read(source(postgres, table), "", 4)
    for stop in range(1, 7):
        begun = list(islice(source(postgres, table).read("", "", 4), stop))
        rest, _ = read(source(postgres, table), begun[-1].position, 3)

        assert [one for chunk in begun for one in chunk.arrivals] + rest == whole
    assert len(whole) == 25


def test_records_hold_the_columns_chosen_of_the_rows_chosen(postgres: PostgresServer, table: str) -> None:
    arrivals, _ = read(source(postgres, table, columns=("v",), where="id % 10 = 5"), "")

    assert [arrival.data for arrival in arrivals] == [{"v": "v5"}, {"v": "v15"}, {"v": "v25"}]
    assert arrivals[0].offset.startswith("5@")


def test_what_comes_later_is_read_as_it_comes(postgres: PostgresServer, table: str) -> None:
    chunks = source(postgres, table, every="100ms").read("", "", 100)
    assert len(next(chunks)) == 25

    postgres.execute(f"insert into {table} values (26, 'new')")
    found = next(chunk for chunk in chunks if len(chunk))

    assert found.records[0]["id"] == 26
    chunks.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"where": "nothing = 1"}, 'column "nothing" does not exist'),
        ({"cursor": "nix"}, "column t.nix does not"),
    ],
)
def test_a_wrong_name_ends_the_source(
    postgres: PostgresServer, table: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(SourceError, match=said):
        read(source(postgres, table, **settings), "")


def query(postgres: PostgresServer, sql: str, **settings: Any) -> Source:
    found = connector("source", "postgres")
    options = found.options(dsn=postgres.dsn, query=sql, **{"key": ("id",), **settings})
    made: Source = found.made(options, pipeline="p", stage="read", root=Path())
    return made


def test_a_query_with_xmin_loses_no_row_that_commits_late(postgres: PostgresServer, table: str) -> None:
    sql = (
        f"select t.id, u.v || '%' as name, t.xmin from {table} t join {table} u using (id) -- joined\n"
        " where t.id <> 7;"
    )
    with psycopg.connect(postgres.dsn) as late:
        late.execute(f"insert into {table} values (100, 'late')".encode())
        postgres.execute(f"insert into {table} values (101, 'quick')")
        first, position = read(query(postgres, sql), "")
        late.commit()
    second, position = read(query(postgres, sql, where="id <> 8"), position)
    postgres.execute(f"update {table} set v = 'new' where id in (3, 7)")
    third, position = read(query(postgres, sql), position)

    assert ids(first) == [n for n in range(1, 26) if n != 7]
    assert sorted(ids(second)) == [100, 101]
    assert [arrival.data for arrival in third] == [{"id": 3, "name": "new%"}]


def test_a_query_by_time_leaves_rows_that_are_younger_than_late(postgres: PostgresServer, table: str) -> None:
    postgres.execute(f"update {table} set at = now() - interval '1 h' * id where id > 5")
    sql = f"select id, v, at from {table}"
    settings: dict[str, Any] = {"cursor": "at", "late": "30m", "columns": ("id",)}

    first, position = read(query(postgres, sql, **settings), "", 4)
    again, position = read(query(postgres, sql, **settings), position)
    postgres.execute(f"update {table} set at = now() - interval '31 min' where id < 3")
    second, position = read(query(postgres, sql, **settings), position)

    assert ids(first) == [*range(25, 5, -1)]
    assert again == []
    assert ids(second) == [1, 2]
    assert first[0].data == {"id": 25}
    for stop in range(1, 5):
        begun = list(islice(query(postgres, sql, **settings).read("", "", 4), stop))
        rest, _ = read(query(postgres, sql, **settings), begun[-1].position, 3)
        assert ids([one for chunk in begun for one in chunk.arrivals] + rest) == [*range(25, 5, -1), 1, 2]


def test_a_query_by_which_new_rows_cannot_be_told_is_refused(postgres: PostgresServer, table: str) -> None:
    sql = f"select id, at from {table}"
    for settings in ({}, {"cursor": "at"}):
        with pytest.raises(SourceError, match="postgres query: it gives no column `xmin`, so new rows"):
            read(query(postgres, sql, **settings), "")
    _, position = read(query(postgres, f"select id, xmin from {table}"), "")
    with pytest.raises(SourceError, match="identified new rows in another way"):
        read(query(postgres, sql, cursor="at", late="1m"), position)
    with pytest.raises(SourceError, match="syntax error"):
        read(query(postgres, "selec 1"), "")
    reach = endpoint(
        Options(dsn=postgres.dsn, query="select 1 as id", key=("id",)), stage="s", root=Path()
    ).reach
    with pytest.raises(UnreachableError, match="it gives no column `xmin`"):
        reach(5)


def test_a_query_that_says_which_day_it_is_gives_its_whole_result_once_a_day(
    postgres: PostgresServer, table: str
) -> None:
    postgres.execute(f"create table {table}_clock (at) as values (timestamptz '2026-03-01')")
    sql = f"select t.id, c.at as day from {table} t, {table}_clock c"
    days = query(postgres, sql, cursor="day", late="1s")

    begun = list(islice(days.read("", "", 4), 3))  # killed: what was read is stored, up to here
    rest, position = read(days, begun[-1].position, 3)
    again, position = read(days, position)
    postgres.execute(f"update {table}_clock set at = '2026-03-02'; update {table} set v = 'new' where id = 3")
    second, position = read(days, position)
    third, _ = read(days, position)

    first = [one for chunk in begun for one in chunk.arrivals] + rest
    assert ids(first) == ids(second) == [*range(1, 26)]
    assert ids(again) == ids(third) == []
    assert len({one.offset for one in (*first, *second)}) == 50
