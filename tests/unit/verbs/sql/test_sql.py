"""sql: what a query makes of each record, whatever stands beside it in its batch."""

from __future__ import annotations

import asyncio
import copy
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.errors import HandlerTimeoutError
from rsq_pipe.extras import install
from rsq_pipe.model.outcome import MAX_CHILDREN, Drop, Failure
from rsq_pipe.spec.loader import check
from rsq_pipe.verbs.sql import Sql
from tests.support.project import Project
from tests.unit.verbs.given import batch, each
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


async def test_the_query_of_the_guide(work: Work) -> None:
    query = """select carrier, dep_delay * 60 as seconds from batch join 'airlines.csv' a using (carrier)
    where dep_delay > 0 and since < '1990-01-01'"""

    found = await work(
        query,
        {"carrier": "AA", "dep_delay": 2},
        {"carrier": "UA", "dep_delay": 0.5},
        {"carrier": "AA", "dep_delay": -1},
        {"carrier": "ZZ", "dep_delay": 1},
        {"carrier": "AA"},
    )

    gone = Drop("sql: where or join")
    assert found == [
        {"carrier": "AA", "seconds": 120},
        {"carrier": "UA", "seconds": 30.0},
        gone,
        gone,
        gone,
    ]
    assert [type(found[at]["seconds"]) for at in (0, 1)] == [int, float]


VALUES: list[Any] = [None, True, 0, 7, -3, 2**40, 2**63, 2**70, 1.0, 2.5, -0.0, "", "7", "abc", "2026-03-01"]
VALUES += [[1, 2], [], {"name": "ada"}, {"name": 5}, {}, "null", "é😀", [None, {"a": [1.5]}]]
QUERIES = [
    "select *, x + y as sum from batch",
    "select id, x || '!' as said, coalesce(y, 'none') as y from batch",
    "select id, x, try_cast(y as integer) as whole, typeof(x) as kind from batch where x is not null",
    "select id, x.name as name, upper(x.name) as up, x->>'$.name' as again from batch",
    "select id, x > y as more from batch where x < 5 or x is null",
    "select id, a.name from batch left join 'airlines.csv' a on a.carrier = x",
    "select id, cast(x as date) + 1 as next from batch",
    "select id, unnest(x::json[]) as item from batch",
    "select id, case when x then y end as chosen, x is null as empty from batch",
]


@pytest.mark.parametrize("query", QUERIES)
async def test_a_record_fares_alike_whatever_its_neighbours_are(work: Work, query: str) -> None:
    draw = random.Random(query)
    records = [
        {"id": n} | {name: draw.choice(VALUES) for name in ("x", "y") if draw.random() < 0.9}
        for n in range(60)
    ]

    together = await work(query, *records)

    alone = [(await work(query, record))[0] for record in records]
    assert [repr(one) for one in together] == [repr(one) for one in alone]
    assert any(isinstance(one, dict | list) for one in together)


async def test_one_bad_record_in_a_batch_fails_alone_with_what_duckdb_says(work: Work) -> None:
    records: list[Any] = [{"n": str(n)} for n in range(100)]
    records[37] = {"n": "many"}
    records[99] = {"n": "99999999999"}

    found = await work("select n::integer as n from batch", *records)

    assert [record for record in found if isinstance(record, dict)] == [
        {"n": n} for n in range(100) if n not in {37, 99}
    ]
    assert found[37].startswith("Conversion Error: Could not convert string 'many' to INT32")
    assert found[99].startswith("Conversion Error: Could not convert string '99999999999' to INT32")


async def test_fields_that_only_go_on_are_not_touched(work: Work) -> None:
    record = {"big": 2**200, "deep": {"a": [1, {"b": None}]}, "f": 1.0, "i": 1, "text": "a\x00b", "n": None}

    assert await work("select * from batch", record) == [record]
    assert await work("select i, big as large, deep.a from batch", record) == [
        {"i": 1, "large": 2**200, "a": [1, {"b": None}]}
    ]
    assert await work("select gone, deep.gone.too from batch", record) == [{"gone": None, "too": None}]


async def test_star_leaves_out_replaces_and_renames_in_place(work: Work) -> None:
    query = "select * exclude (b) replace (a + 1 as a) rename (c as d), 9 as e from batch"

    assert await work(query, {"a": 1, "b": 2, "c": 3}, {"c": 4, "a": None}) == [
        {"a": 2, "d": 3, "e": 9},
        {"d": 4, "a": None, "e": 9},
    ]


async def test_a_name_that_is_taken_fails_the_record(work: Work) -> None:
    found = await work("select *, 1 as a from batch", {"b": 1}, {"a": 2})

    assert found[0] == {"b": 1, "a": 1}
    assert found[1].startswith("field 'a' is in the record already; write `* replace (... as a)`")


async def test_star_over_a_file_gives_its_columns_and_a_shared_one_once(work: Work) -> None:
    query = "select * from batch left join 'airlines.csv' a using (carrier)"

    assert await work(query, {"carrier": "AA", "n": 1}, {"n": 2}) == [
        {"carrier": "AA", "n": 1, "name": "American", "since": "1934-04-13"},
        {"n": 2, "name": None, "since": None},
    ]


async def test_an_alias_can_be_used_further_on_and_in_where(work: Work) -> None:
    query = "select n as m, m * 2 as two, two + 1 as three from batch where three > 3"

    assert await work(query, {"n": 1}, {"n": 2}) == [Drop("sql: where"), {"m": 2, "two": 4, "three": 5}]


async def test_items_of_a_list_become_children_in_its_order(work: Work) -> None:
    query = 'select id, unnest(from_json(lines, \'[{"sku": "VARCHAR"}]\')).sku as sku from batch'

    found = await work(query, {"id": 1, "lines": [{"sku": "tea"}, {"sku": "jam"}]}, {"id": 2, "lines": []})

    assert found == [[{"id": 1, "sku": "tea"}, {"id": 1, "sku": "jam"}], Drop("sql: unnest")]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("date '2026-03-01'", "2026-03-01"),
        ("timestamp '2026-03-01 10:00:00.5'", "2026-03-01T10:00:00.5"),
        ("timestamptz '2026-03-01 10:00:00+02'", "2026-03-01T08:00:00Z"),
        ("time '10:30'", "10:30:00"),
        ("n * 1.5", 4.5),
        ("cast(n as decimal(38, 10)) / 3", 1.0),
        ("170141183460469231731687303715884105727", 2**127 - 1),
        ("n::hugeint * 100000000000000000000", 3 * 10**20),
        ("0.1::double + 0.2", 0.1 + 0.2),
        ("[1, null]", [1, None]),
        ("{'a': [n], 'd': date '2026-03-01', 'x': null}", {"a": [3], "d": "2026-03-01", "x": None}),
        ("map {'a': 1}", {"a": 1}),
        ("'[1, {\"a\": null}]'::json", [1, {"a": None}]),
        ("uuid 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("null", None),
        ("n = 3", True),
        ("'a' || chr(0)", "a\x00"),
        ("1.5::float", 1.5),
    ],
)
async def test_what_sql_makes_is_what_a_record_can_hold(work: Work, expression: str, value: Any) -> None:
    [found] = await work(f"select {expression} as v from batch", {"n": 3})

    assert found == {"v": value}
    assert type(found["v"]) is type(value)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("'nan'::double", "field 'v' is nan, which JSON has no form for"),
        ("1e308 * 10 * n", "field 'v' is inf, which JSON has no form for"),
        ("{'a': 'nan'::double}", "field 'v' holds a number that is not finite, which JSON has no form for"),
        ("date 'infinity'", "field 'v' is infinity, which ISO 8601 has no form for"),
        (
            "1.000000000000000000000000000001",
            "field 'v' is 1.000000000000000000000000000001, with more digits",
        ),
        ("interval 1 day", "field 'v' is of type INTERVAL, which a record has no form for; cast it"),
        ("'a'::blob", "field 'v' is of type BLOB, which a record has no form for; cast it: `::varchar`"),
        ("error('no ' || n)", "Invalid Input Error: no 3"),
        ("9223372036854775807 + n", "Out of Range Error: Overflow in addition of INT64"),
    ],
)
async def test_what_a_record_cannot_hold_fails_it(work: Work, expression: str, words: str) -> None:
    [found] = await work(f"select {expression} as v from batch", {"n": 3})

    assert str(found).startswith(words)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2**128, "field 'n' has a whole number of more than 128 bits"),
        (float("inf"), "field 'n' is not a finite number"),
        (b"x", "field 'n' is of type bytes, which SQL has no form for here"),
        ([float("nan")], "holds a number at $[0] that is not finite"),
        ("\ud800", "'utf-8' codec can't encode"),
    ],
)
async def test_what_sql_has_no_form_for_fails_its_record_alone(work: Work, value: Any, words: str) -> None:
    found = await work("select n || '' as n from batch", {"n": 1}, {"n": value}, {"n": 2})

    assert [found[0], found[2]] == [{"n": "1"}, {"n": "2"}]
    assert words in found[1] or "surrogate" in found[1]


async def test_a_declared_type_casts_each_value_and_names_the_field_that_is_not_of_it(work: Work) -> None:
    query = "select *, placed + 1 as next, n + 1 as m from batch"

    found = await work(
        query,
        {"placed": "2026-02-28", "n": "4", "x": 1},
        {"placed": None, "n": 4},
        {"placed": "soon", "n": 4},
        {"n": "four"},
        placed="date",
        n="integer",
    )

    assert found[:2] == [
        {"placed": "2026-02-28", "n": 4, "x": 1, "next": "2026-03-01", "m": 5},
        {"placed": None, "n": 4, "next": None, "m": 5},
    ]
    assert found[2].startswith(
        "field 'placed' is not of type date: Conversion Error: invalid date field format"
    )
    assert found[3].startswith(
        "field 'n' is not of type integer: Conversion Error: Could not convert string 'four'"
    )


async def test_a_declared_struct_can_be_looked_into(work: Work) -> None:
    query = "select list_transform(lines, lambda x: x.n * 2) as twice, customer.name as name from batch"

    found = await work(
        query, {"lines": [{"n": 1}, {"n": 2}], "customer": {"name": "ada"}}, lines="struct(n integer)[]"
    )

    assert found == [{"twice": [2, 4], "name": "ada"}]


async def test_what_runs_too_long_is_cut_off_while_others_go_on(opened: Callable[..., Sql]) -> None:
    query = """select n, (select count(*) from range(n) a, range(n) b
    where a.range * b.range % 7 = 3) as c from batch"""
    verb = opened(query, timeout=2)
    given = batch(*({"n": 300_000 if n == 11 else n % 5} for n in range(40)))
    waits: list[float] = []

    async def tick() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            waits.append(time.monotonic() - began)

    ticking = asyncio.create_task(tick())
    found = each(given, await verb.process(given))
    ticking.cancel()

    assert [at for at, end in enumerate(found) if isinstance(end, Failure)] == [11]
    assert isinstance(found[11].error, HandlerTimeoutError)
    assert found[10] == {"n": 0, "c": 0}
    assert max(waits) < sum(waits) / 2  # the loop is not held up for what one record takes
    assert each(given.only([0]), await verb.process(given.only([0]))) == [{"n": 0, "c": 0}]


async def test_memory_is_bounded(opened: Callable[..., Sql]) -> None:
    verb = opened("select n, (select list(range) from range(n)) as l from batch", memory=64 * 2**20)
    given = batch({"n": 1}, {"n": 100_000_000}, {"n": 2})

    found = each(given, await verb.process(given))

    assert [found[0], found[2]] == [{"n": 1, "l": [0]}, {"n": 2, "l": [0, 1]}]
    assert "Out of Memory" in told(found[1])


async def test_one_record_becomes_no_more_than_can_be_written_at_once(work: Work) -> None:
    query = "select n, r.range as r from batch, range(n) r"

    found = await work(query, {"n": 2}, {"n": MAX_CHILDREN + 1}, {"n": 200_000})

    assert found[0] == [{"n": 2, "r": 0}, {"n": 2, "r": 1}]
    assert found[1] == "it becomes 10,001 records; the bound is 10,000, since they are written at once"
    assert found[2] == "it becomes more than 10,000 records"


def test_without_duckdb_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path / "project", "orders")
    spec = project.spec("""
        read: {source: {type: jsonl, path: in.jsonl}}
        calc: {sql: select a from batch}
        out: {sink: {type: stdout}}
    """)
    project.records([1])
    assert not check(spec).problems

    monkeypatch.setitem(sys.modules, "duckdb", None)
    [problem] = check(spec).problems

    assert str(problem).endswith(
        f"stages.calc.sql: `sql` needs a package that is not installed; {install('sql')}"
    )
