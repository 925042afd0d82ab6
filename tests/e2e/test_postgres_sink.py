"""Records go into PostgreSQL: each once through kills and outages, a bad one alone is a dead letter."""

from __future__ import annotations

import random
import time

import pytest

from tests.e2e.killed_in_turn import killed_in_turn
from tests.support.command_line import rsq_pipe, start
from tests.support.postgres import PostgresServer
from tests.support.private_server import PASSWORD
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import eventually


def spec(project: Project, settings: str, top: str = "") -> None:
    project.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        out: {{sink: {{type: postgres, dsn: "${{secret:PG}}", {settings}}}}}
        """,
        top=top,
    )


def test_a_table_is_made_for_what_comes_and_a_second_run_adds_nothing(
    server: StreamServer, postgres: PostgresServer, project: Project, table: str
) -> None:
    project.records(range(100), at="2026-11-27T10:00:00", lines=[{"sku": "a"}], half=0.5, none=None)
    spec(project, f"table: {table}, create: true, rid: true, types: {{at: timestamptz}}")
    arguments = ("run", project.path, "--redis", server.url)

    first = rsq_pipe(*arguments, cwd=project.root, PG=postgres.dsn)
    second = rsq_pipe(*arguments, cwd=project.root, PG=postgres.dsn)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    types = postgres.execute(
        f"select attname::text, format_type(atttypid, -1) from pg_attribute"
        f" where attrelid = '{table}'::regclass and attnum > 0"
    )
    assert dict(types) == {
        "rid": "text",
        "n": "bigint",
        "at": "timestamp with time zone",
        "lines": "jsonb",
        "half": "double precision",
        "none": "text",
    }
    assert postgres.execute(
        f"select count(*), sum(n), count(distinct rid), min(lines->0->>'sku') from {table}"
    ) == [(100, 4950, 100, "a")]


def test_one_bad_record_among_good_ones_is_one_dead_letter_with_what_postgres_said(
    server: StreamServer, postgres: PostgresServer, project: Project, table: str
) -> None:
    project.records(range(200))
    project.records([7], at="no date")
    project.records(range(200, 300))
    project.records([8], half=1)
    postgres.execute(f"create table {table} (n int check (n <> 33), at timestamptz default now())")
    spec(project, f"table: {table}")

    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, PG=postgres.dsn)
    listing = ("dlq", "list", project.path, "--redis", server.url, "--json")
    listed = rsq_pipe(*listing, cwd=project.root, PG=postgres.dsn).stdout.replace('\\"', '"')

    assert done.returncode == 4, done.stderr
    assert postgres.execute(f"select count(*) from {table} where at is not null") == [(299,)]
    assert 'invalid input syntax for type timestamp with time zone: "no date"' in listed
    assert f'new row for relation "{table}" violates check constraint' in listed
    assert "the table has no column for 'half'; add it to the table, or set `extra: ignore`" in listed


@pytest.mark.parametrize(
    ("dsn", "settings", "said"),
    [
        ("postgresql://rsq:{password}@127.0.0.1:{port}/nowhere", "", 'database "nowhere" does not exist'),
        ("{dsn}", ", mode: upsert, key: [n]", "`mode: upsert` needs a unique index on exactly the columns"),
    ],
)
def test_what_time_does_not_mend_ends_the_run_and_says_how_to_mend_it(
    server: StreamServer,
    postgres: PostgresServer,
    project: Project,
    table: str,
    dsn: str,
    settings: str,
    said: str,
) -> None:
    project.records(range(3))
    if settings:
        postgres.execute(f"create table {table} (n int)")
    spec(project, f"table: {table}{settings}")
    given = dsn.format(port=postgres.port, dsn=postgres.dsn, password=PASSWORD)

    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, PG=given)

    assert done.returncode == 1
    assert said in done.stderr
    assert f"stage 'out': postgres table {table}: " in done.stderr
    assert "Traceback" not in done.stderr
    assert PASSWORD not in done.stderr


def test_an_upsert_that_no_index_serves_ends_the_run_before_anything_is_read(
    server: StreamServer, postgres: PostgresServer, project: Project, table: str
) -> None:
    project.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl, follow: true}}}}
        out: {{sink: {{type: postgres, dsn: "${{secret:PG}}", table: {table}, mode: upsert, key: [n]}}}}
        """
    )
    project.records([])
    postgres.execute(f"create table {table} (n int)")

    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, PG=postgres.dsn)
    checked = rsq_pipe("validate", "--connect", project.path, cwd=project.root, PG=postgres.dsn)

    assert (done.returncode, checked.returncode) == (1, 3), done.stderr + checked.stderr
    assert "needs a unique index on exactly the columns of `key`" in done.stderr
    assert "needs a unique index on exactly the columns of `key`" in checked.stdout + checked.stderr


def test_fresh_asks_what_is_to_become_of_the_rows(
    server: StreamServer, postgres: PostgresServer, project: Project, table: str
) -> None:
    project.records(range(10))
    counts = []
    for settings, fresh in [
        ("", ()),
        ("", ("--fresh",)),
        (", fresh: append", ("--fresh",)),
        (", fresh: empty", ("--fresh",)),
    ]:
        spec(project, f"table: {table}, create: true{settings}")
        done = rsq_pipe("run", project.path, "--redis", server.url, *fresh, cwd=project.root, PG=postgres.dsn)
        counts.append((done.returncode, postgres.execute(f"select count(*) from {table}")[0][0]))

    assert counts == [(0, 10), (1, 10), (0, 20), (0, 10)]


def test_rows_go_from_one_table_to_another_and_changes_follow(
    server: StreamServer, postgres: PostgresServer, project: Project, table: str
) -> None:
    postgres.execute(f"create table {table} (id int primary key, v numeric, at timestamptz default now())")
    postgres.execute(f"insert into {table} select n, n from generate_series(1, 3000) n")
    dsn = 'dsn: "${secret:PG}"'
    project.spec(
        f"""
        read: {{source: {{type: postgres, {dsn}, table: {table}, key: [id], cursor: at}}}}
        out: {{sink: {{type: postgres, {dsn}, table: {table}_copy, mode: upsert, key: [id], create: true}}}}
        """
    )
    arguments = ("run", project.path, "--redis", server.url)
    first = rsq_pipe(*arguments, cwd=project.root, PG=postgres.dsn)
    postgres.execute(
        f"update {table} set v = v + 1, at = now() where id > 2990; insert into {table} values (0, 0)"
    )
    second = rsq_pipe(*arguments, cwd=project.root, PG=postgres.dsn)
    third = rsq_pipe(*arguments, cwd=project.root, PG=postgres.dsn)

    assert (first.returncode, second.returncode, third.returncode) == (0, 0, 0), first.stderr + second.stderr
    assert "nothing new" in third.stdout + third.stderr
    assert postgres.execute(f"select id, v from {table} except select id, v::numeric from {table}_copy") == []
    assert postgres.execute(f"select count(*) from {table}_copy") == [(3001,)]


@pytest.mark.timeout(150)
@pytest.mark.chaos
async def test_kills_of_workers_and_of_postgres_lose_and_double_nothing(
    server: StreamServer, own_postgres: PostgresServer, project: Project, table: str
) -> None:
    draw = random.Random(11)
    count = 20_000
    project.records(range(count))
    spec(
        project,
        f"table: {table}, mode: upsert, key: [n], version: n, timeout: 2s",
        top="reclaim: {idle: 500ms}",
    )
    own_postgres.execute(f"create table {table} (n int primary key)")

    async def outage() -> None:
        own_postgres.kill()
        own_postgres.start()

    in_the_middle, _ = await killed_in_turn(
        *(project, server, lambda: {draw.randrange(2), 0}, outage),
        stage="out",
        hidden=PASSWORD,
        count=count,
        kills=6,
        PG=own_postgres.dsn,
    )

    assert in_the_middle >= 3
    assert own_postgres.execute(f"select count(*), count(distinct n) from {table}") == [(count, count)]


@pytest.mark.timeout(150)
@pytest.mark.chaos
def test_a_postgres_that_stands_still_for_ten_seconds_costs_time_and_no_record(
    server: StreamServer, own_postgres: PostgresServer, project: Project, table: str
) -> None:
    count = 30_000
    project.records(range(count))
    spec(project, f"table: {table}, timeout: 1s")
    own_postgres.execute(f"create table {table} (n int)")
    process = start("run", project.path, "--redis", server.url, cwd=project.root, PG=own_postgres.dsn)
    try:
        eventually(lambda: own_postgres.execute(f"select count(*) > 0 from {table}") == [(True,)])
        own_postgres.pause()
        stopped = time.monotonic()
        eventually(lambda: time.monotonic() - stopped > 10, what="ten seconds have gone by")
        own_postgres.resume()
        _, err = process.communicate(timeout=60)
    finally:
        own_postgres.resume()
        process.kill()
        process.communicate()

    assert process.returncode == 0, err
    assert "did not answer within 2s; trying again" in err
    assert own_postgres.execute(f"select count(*), count(distinct n) from {table}") == [(count, count)]
