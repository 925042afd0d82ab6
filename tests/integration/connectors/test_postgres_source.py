"""The postgres source reads each version of a row once, whenever it is committed, and goes on exactly."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rsq_pipe.connectors.source import Arrival, Source
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SourceError
from tests.support.postgres import PostgresServer, postgres, postgres_binaries

__all__ = ["postgres", "postgres_binaries"]


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
