"""lookup in PostgreSQL: one query a batch, whatever types its columns have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.errors import TableError
from rsq_pipe.model.outcome import Failure, Outcomes
from rsq_pipe.verbs.verb import Verb
from tests.integration.verbs.given import looked, sent, unavailable, verb_of
from tests.support.postgres import PostgresServer
from tests.support.private_server import PASSWORD

UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


@pytest.fixture
def table(postgres: PostgresServer, name: str) -> str:
    table = name.replace("-", "_")
    postgres.execute(f"create table {table} (id int primary key, name text, note text)")
    postgres.execute(f"insert into {table} values (7, 'Ada', null), (8, 'Bob', 'x')")
    return table


def asking(root: Path, server: PostgresServer, query: str, rest: str, timeout: str = "30s") -> Verb:
    text = f'table: {{postgres: {{dsn: "${{secret:DSN}}", query: {json.dumps(query)}}}}}, {rest}'
    return verb_of(root, text, environ={"DSN": server.dsn}, timeout=timeout)


async def once(verb: Verb, *records: Any) -> Outcomes:
    try:
        return await looked(verb, *records)
    finally:
        await verb.close()


def error(outcomes: Outcomes, place: int) -> str:
    failure = outcomes.failed[place]
    assert isinstance(failure, Failure)
    assert not failure.retryable
    return str(failure.error)


async def test_numbers_and_texts_find_their_rows(
    postgres: PostgresServer, table: str, tmp_path: Path
) -> None:
    verb = asking(
        tmp_path,
        postgres,
        f"select * from {table} where id = any($1)",
        "key: cid, by: id, fields: {name: who}",
    )

    out = await once(verb, {"cid": 7}, {"cid": "8"}, {"cid": 9}, {"cid": 7.0}, {"cid": None})

    assert sent(out) == [
        {"cid": 7, "who": "Ada"},
        {"cid": "8", "who": "Bob"},
        {"cid": 9, "who": None},
        {"cid": 7.0, "who": "Ada"},
        {"cid": None, "who": None},
    ]
    assert out.unknown == {"9": [2], "null": [4]}


@pytest.mark.parametrize(
    ("kind", "row", "keys", "wanted"),
    [
        ("citext", "Ada@x.org", ["ada@x.org", "ADA@x.org", "Ada@x.org", "bob"], [1, 1, 1, None]),
        ("uuid", UUID, [UUID, UUID.upper(), UUID.replace("-", "")], [1, 1, 1]),
        ("text", "Ada", ["ada", "ADA", "Ada", "Ada "], [None, None, 1, None]),
        ("char(8)", "ab", ["ab", "ab  ", "AB"], [1, 1, None]),
        ("int", "7", [7, "7", "07", 7.0, "+7"], [1, 1, 1, 1, 1]),
        ("numeric(8, 2)", "1.5", [1.5, "1.50", "1.5"], [1, 1, 1]),
    ],
)
async def test_each_key_of_a_batch_finds_the_row_that_it_finds_alone(
    postgres: PostgresServer,
    name: str,
    tmp_path: Path,
    kind: str,
    row: str,
    keys: list[Any],
    wanted: list[Any],
) -> None:
    table = name.replace("-", "_")
    if kind == "citext":
        postgres.execute("create extension if not exists citext")
    postgres.execute(f"create table {table} (id {kind} primary key, n int)")
    postgres.execute(f"insert into {table} values ('{row}', 1)")
    query = f"select * from {table} where id = any($1)"

    verb = asking(tmp_path, postgres, query, "key: k, by: id, fields: [n]")
    together = await once(verb, *({"k": key} for key in keys))

    assert [record["n"] for record in sent(together)] == wanted


async def test_a_key_that_is_no_value_of_its_column_fails_alone(
    postgres: PostgresServer, table: str, tmp_path: Path
) -> None:
    verb = asking(tmp_path, postgres, f"select * from {table} where id = any($1)", "key: id, fields: [name]")

    out = await once(
        verb, *({"id": n} for n in range(20)), {"id": "x"}, {"id": "\0"}, {"id": 2**40}, {"id": 8}
    )

    assert list(out.failed) == [20, 22]
    assert 'invalid input syntax for type integer: "x"' in error(out, 20)
    assert "out of range" in error(out, 22)
    assert [record["name"] for record in sent(out) if record["name"]] == ["Ada", "Bob", "Bob"]


async def test_values_go_on_as_json_has_them(postgres: PostgresServer, tmp_path: Path) -> None:
    query = """
        select k as id, 1.50::numeric n, date '2026-03-01' d, timestamp '2026-03-01 10:00' t,
            '{"a": [1, null]}'::jsonb j, array[1, null] a, 'NaN'::float8 f, true b, '\\x0aff'::bytea y,
            interval '90 minutes' i, gen_random_uuid() is not null u
        from unnest($1::text[]) k
    """
    verb = asking(tmp_path, postgres, query, "key: id, as: row")

    (record,) = sent(await once(verb, {"id": 'q"\\,{}'}))

    assert record["row"] == {
        "id": 'q"\\,{}',
        "n": "1.50",
        "d": "2026-03-01",
        "t": "2026-03-01T10:00:00",
        "j": {"a": [1, None]},
        "a": [1, None],
        "f": None,
        "b": True,
        "y": "0aff",
        "i": "1:30:00",
        "u": True,
    }


async def test_a_key_of_several_fields_and_one_that_comes_back_in_other_letters(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    query = """
        select lower(l) as land, i as id, l || i as name
        from unnest($1::text[], $2::int[]) as k (l, i) where i < 3
    """
    verb = asking(tmp_path, postgres, query, "key: [l, i], by: [land, id], fields: [name]")

    out = await once(verb, {"l": "FR", "i": 1}, {"l": "FR", "i": "2"}, {"l": "DE", "i": 3})

    assert [record["name"] for record in sent(out)] == ["FR1", "FR2", None]
    assert out.unknown == {"DE, 3": [2]}


async def test_a_key_with_several_rows_is_the_records_error(
    postgres: PostgresServer, table: str, tmp_path: Path
) -> None:
    query = f"select t.* from {table} t, generate_series(1, 3) where id = any($1) and (id = 7 or true)"
    verb = asking(tmp_path, postgres, query, "key: id, fields: [name]")

    out = await once(verb, {"id": 7}, {"id": 9})

    assert "the query gives 3 rows for this key; it may give one" in error(out, 0)
    assert len(sent(out)) == 1


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("select * from nowhere where id = any($1)", 'relation "nowhere" does not exist'),
        ("select idd from TABLE where id = any($1)", 'column "idd" does not exist'),
        (
            "select name, note from TABLE where id = any($1)",
            "the query gives no column 'id'; use name or note",
        ),
        ("select id, note from TABLE where id = any($1)", "the query gives no column 'name'"),
        ("delete from TABLE where id = any($1) and false", "the query gives no rows; write a `select`"),
    ],
)
async def test_a_query_that_cannot_be_meant_stops_the_stage(
    postgres: PostgresServer, table: str, tmp_path: Path, query: str, why: str
) -> None:
    verb = asking(tmp_path, postgres, query.replace("TABLE", table), "key: id, fields: [name]")

    with pytest.raises(TableError) as raised:
        await once(verb, {"id": 7})

    assert why in str(raised.value)


async def test_a_wrong_password_stops_the_stage_and_is_not_told(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    table = '{postgres: {dsn: "${secret:DSN}", query: "select 1 as id where 1 = any($1)"}}'
    environ = {"DSN": postgres.dsn.replace(PASSWORD, "hunter2")}
    verb = verb_of(tmp_path, f"table: {table}, key: id, as: row", environ=environ)

    with pytest.raises(TableError) as raised:
        await once(verb, {"id": 7})

    assert 'password authentication failed for user "rsq"' in str(raised.value)
    assert "hunter2" not in str(raised.value)


async def test_a_server_that_is_killed_blames_no_record_and_is_found_again(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    own_postgres.execute("create table t (id int primary key, name text)")
    own_postgres.execute("insert into t values (7, 'Ada')")
    verb = asking(
        tmp_path,
        own_postgres,
        "select * from t where id = any($1)",
        "key: id, fields: [name], cache: {size: 0}",
    )
    assert len(sent(await looked(verb, {"id": 7}))) == 1
    own_postgres.kill()

    for _ in range(2):
        assert "stage 'enrich': its table cannot be read now: postgres t: " in unavailable(
            await looked(verb, {"id": 7}, {"id": 8})
        )
    own_postgres.start()
    assert sent(await looked(verb, {"id": 7})) == [{"id": 7, "name": "Ada"}]
    await verb.close()


async def test_a_server_that_stands_still_is_left_after_the_timeout(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    verb = asking(
        tmp_path,
        own_postgres,
        "select id from (values (7)) t (id) where id = any($1)",
        "key: id, as: row, cache: {size: 0}",
        timeout="500ms",
    )
    await looked(verb, {"id": 7})
    own_postgres.pause()
    try:
        assert "no answer within `timeout`, 0.5 s" in unavailable(await looked(verb, {"id": 7}))
        assert "no answer within `timeout`, 0.5 s" in unavailable(await looked(verb, {"id": 7}))
    finally:
        own_postgres.resume()

    assert len(sent(await looked(verb, {"id": 7}))) == 1
    await verb.close()
