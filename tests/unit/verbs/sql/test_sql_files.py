"""sql: files as tables, and which of them a query may read."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.errors import HandlerError
from rsq_pipe.model.outcome import Drop
from rsq_pipe.verbs.sql import Sql
from tests.unit.verbs.given import One, batch, batch_of, each, one
from tests.unit.verbs.sql.querying import Work, told


@pytest.fixture
def work(opened: Callable[..., Sql]) -> Work:
    """What becomes of some records; a failure is what it says."""

    async def of(query: str, *records: Any, **types: str) -> list[Any]:
        given = batch(*records)
        before = copy.deepcopy(given.records)
        found = each(given, await opened(query, **types).process(given))
        assert given.records == before
        return [told(end) for end in found]

    return of


async def test_several_rows_are_children_in_the_order_of_the_file(opened: Callable[..., Sql]) -> None:
    given = batch_of(
        One({"carrier": "UA"}, "r:1", headers={"trace": "t", "rsq-x": "mine"}),
        one({"carrier": "AA"}, "r:2"),
        one({"carrier": "-"}, "r:3"),
    )

    found = await opened(
        "select a.name, {'a': 1} as x from batch join 'airlines.csv' a using (carrier)"
    ).process(given)

    out = found.emitted[""]
    assert out.rids == ["r:1.0", "r:1.1", "r:2"]
    assert [record["name"] for record in out.records] == ["United", "United too", "American"]
    assert list(out.sources) == [0, 0, 1]
    assert out.headers == {0: {"trace": "t"}, 1: {"trace": "t"}}
    assert out.records[0]["x"] is not out.records[1]["x"]
    assert found.dropped == {"sql: join": [2]}


async def test_children_come_in_one_order_however_large_the_batch_is(tmp_path: Path, work: Work) -> None:
    rows = [f"{n % 7},{n}" for n in range(5_000)]
    random.Random(1).shuffle(rows)
    (tmp_path / "many.csv").write_text("k,v\n" + "\n".join(rows) + "\n")
    records = [{"k": n % 10} for n in range(60)]

    for query in (
        "select v from batch join 'many.csv' using (k)",
        "with m as (select * from 'many.csv') select v from batch join m using (k)",
    ):
        together = await work(query, *records)
        alone = [(await work(query, record))[0] for record in records[:10]]

        assert together[:10] == alone
        assert [len(one) if isinstance(one, list) else one for one in together[:10]] == [
            *[715, 715] * 1, 714, 714, 714, 714, 714, *[Drop("sql: join")] * 3
        ]  # fmt: skip


async def test_subqueries_over_files_may_sort_and_add_up(work: Work) -> None:
    query = """with first as (select carrier, min(since) as since from 'airlines.csv' group by carrier)
    select n, since, (select count(*) from 'airlines.csv' x where x.carrier = batch.carrier) as rows
    from batch left join first using (carrier)"""

    assert await work(query, {"n": 1, "carrier": "UA"}, {"n": 2}) == [
        {"n": 1, "since": "1931-03-28", "rows": 2},
        {"n": 2, "since": None, "rows": 0},
    ]


async def test_a_file_that_changes_is_read_again_and_one_that_cannot_be_read_is_not(
    tmp_path: Path, opened: Callable[..., Sql]
) -> None:
    verb = opened("select n, a.name from batch left join 'airlines.csv' a using (carrier)")
    given = batch({"n": 1, "carrier": "AA"})

    async def name() -> Any:
        return each(given, await verb.process(given))[0]["name"]

    def write(text: str) -> None:
        (tmp_path / "new.csv").write_text(text)
        (tmp_path / "new.csv").replace(tmp_path / "airlines.csv")

    assert await name() == "American"
    write("carrier,name\nAA,Other\n")
    assert await name() == "Other"
    write('carrier,name\nAA,"\n')
    assert await name() == "Other"
    (tmp_path / "airlines.csv").unlink()
    assert await name() == "Other"
    write("name,carrier,more\nLast,AA,1\n")
    assert await name() == "Last"
    write("nom,carrier\nLast,AA\n")
    with pytest.raises(
        HandlerError, match='cannot run its query: Table "a" does not have a column named "name"'
    ):
        await name()


async def test_a_file_that_is_not_there_stops_the_stage_and_blames_no_record(work: Work) -> None:
    with pytest.raises(HandlerError, match=r"cannot use its files: there is no file 'airline.csv'"):
        await work("select n from batch join 'airline.csv' using (n)", {"n": 1})


async def test_jsonl_parquet_and_packed_files_are_tables(tmp_path: Path, work: Work) -> None:
    import duckdb

    (tmp_path / "a.jsonl").write_text('{"k": 1, "v": {"x": [1]}}\n{"k": 2, "w": "two"}\n')
    with duckdb.connect() as other:
        other.execute(f"copy (select 1 as k, 2 as p) to '{tmp_path / 'b.parquet'}'")
        other.execute(f"copy (select 1 as k, 'it''s' as c) to '{tmp_path / 'c.csv.gz'}'")

    query = (
        "select * from batch join 'a.jsonl' using (k) join 'b.parquet' using (k) join 'c.csv.gz' using (k)"
    )
    assert await work(query, {"k": 1}) == [{"k": 1, "v": {"x": [1]}, "w": None, "p": 2, "c": "it's"}]


async def test_nothing_is_read_but_the_files_that_are_named(
    opened: Callable[..., Sql], tmp_path: Path
) -> None:
    import duckdb

    verb = opened("select n from batch left join 'airlines.csv' on true")
    await verb.process(batch({"n": 1}))
    assert verb._tables is not None
    database = verb._tables.database
    (tmp_path / "other.csv").write_text("a\n1\n")

    for statement in (
        f"select * from read_csv('{tmp_path}/other.csv')",
        "select * from read_text('/etc/hostname')",
        f"copy (select 1) to '{tmp_path}/out.csv'",
        f"attach '{tmp_path}/x.db'",
        "install httpfs",
        "set enable_external_access = true",
        "set threads = 8",
    ):
        with pytest.raises(duckdb.Error, match=r"disabled by configuration|has been locked|Cannot"):
            database.execute(statement)
    settings = "select current_setting('threads'), current_setting('memory_limit')"
    assert database.execute(settings).fetchone() == (1, "512.0 MiB")


async def test_workers_of_a_stage_share_its_files(opened: Callable[..., Sql]) -> None:
    query = "select n, a.name from batch join 'airlines.csv' a using (carrier)"
    first, second = opened(query), opened(query)
    given = batch(*({"n": n, "carrier": "AA"} for n in range(50)))

    both = await asyncio.gather(first.process(given), second.process(given))

    assert first._tables is second._tables
    assert [found.emitted[""].records for found in both] == [
        [{"n": n, "name": "American"} for n in range(50)]
    ] * 2
