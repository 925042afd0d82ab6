"""Changes of PostgreSQL's tables go through a pipeline once each, whoever is killed and when."""

from __future__ import annotations

import json
import random
import signal
from functools import partial
from operator import itemgetter
from subprocess import Popen

import pytest

from tests.support.command_line import rsq_pipe, start, status_of
from tests.support.history import History, Writers
from tests.support.postgres import PostgresServer
from tests.support.private_server import PASSWORD
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually


def spec(project: Project, table: str, settings: str = "", top: str = "") -> None:
    source = f'{{type: postgres_cdc, dsn: "${{secret:PG}}", publication: {table}, slot: {table}{settings}}}'
    project.spec(
        f"""
        read: {{source: {source}}}
        out: {{sink: {{type: jsonl, path: out.jsonl, rid: true}}}}
        """,
        top=top,
    )


def make(server: PostgresServer, table: str) -> None:
    server.execute(f"create table {table} (id bigint primary key, v bigint)")
    server.execute(f"insert into {table} select n, 0 from generate_series(1, 400) n")
    server.execute(f"create publication {table} for table {table}")


def test_runs_that_end_go_on_where_the_last_one_ended_and_fresh_begins_anew(
    server: StreamServer, postgres: PostgresServer, project: Project, table: str
) -> None:
    make(postgres, table)
    spec(project, table, ", until: end")
    arguments = ("run", project.path, "--redis", server.url)
    found = []
    for sql in ("select 1", f"update {table} set v = 1 where id <= 3", "select 1"):
        postgres.execute(sql)
        done = rsq_pipe(*arguments, cwd=project.root, PG=postgres.dsn)
        assert done.returncode == 0, done.stderr
        found.append(len(project.lines()))
    rids = {line["rid"] for line in project.lines()}
    done = rsq_pipe(*arguments, "--fresh", cwd=project.root, PG=postgres.dsn)

    assert found == [400, 403, 403]
    assert len(rids) == 403
    last = project.lines()
    assert done.returncode == 0, done.stderr
    assert sorted((line["op"], line["id"], line["v"]) for line in last)[:4] == [
        *[("snapshot", n, 1) for n in (1, 2, 3)],
        ("snapshot", 4, 0),
    ]
    assert len(last) == 400
    postgres.execute("select pg_drop_replication_slot(%s)", table)


def test_a_limited_run_and_a_preview_leave_nothing_behind_that_is_held(
    server: StreamServer, postgres: PostgresServer, project: Project, table: str
) -> None:
    make(postgres, table)
    spec(project, table)
    shown = rsq_pipe("preview", project.path, "--limit", "2", "--json", cwd=project.root, PG=postgres.dsn)
    checked = rsq_pipe("validate", "--connect", project.path, cwd=project.root, PG=postgres.dsn)
    slots = postgres.execute("select 1 from pg_replication_slots where slot_name = %s", table)
    limited = rsq_pipe(
        *("run", project.path, "--redis", server.url, "--limit", "7"), cwd=project.root, PG=postgres.dsn
    )

    assert shown.returncode == 0, shown.stderr
    assert '"snapshot"' in shown.stdout
    assert f"postgres publication {table}: ok (the slot will be created)" in checked.stdout + checked.stderr
    assert slots == []
    assert limited.returncode == 0, limited.stderr
    assert [line["id"] for line in project.lines()] == [1, 2, 3, 4, 5, 6, 7]
    active = "select active from pg_replication_slots where slot_name = %s"
    eventually(lambda: postgres.execute(active, table) == [(False,)], what="the slot is free")
    postgres.execute("select pg_drop_replication_slot(%s)", table)


def test_a_copy_of_a_table_by_key_holds_what_the_table_holds(
    server: StreamServer, postgres: PostgresServer, project: Project, table: str
) -> None:
    make(postgres, table)
    postgres.execute(f"create table {table}_copy (id bigint primary key, v bigint, op text, change text)")
    source = f'{{type: postgres_cdc, dsn: "${{secret:PG}}", publication: {table}, slot: {table}, until: end}}'
    project.spec(
        f"""
        read: {{source: {source}}}
        copy:
          sink:
            type: postgres
            dsn: "${{secret:PG}}"
            table: {table}_copy
            mode: upsert
            key: [id]
            version: change
            extra: ignore
            missing: empty
        """
    )
    for sql in (
        "select 1",
        f"update {table} set v = v + 1 where id < 100; delete from {table} where id between 50 and 60",
        f"update {table} set v = v + 1 where id < 9; insert into {table} values (55, 7), (500, 0)",
    ):
        postgres.execute(sql)
        done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, PG=postgres.dsn)
        assert done.returncode == 0, done.stderr

    live = postgres.execute(f"select id, v from {table}_copy where op <> 'delete' order by id")
    assert live == postgres.execute(f"select id, v from {table} order by id")
    assert postgres.execute(f"select count(*) from {table}_copy where op = 'delete'") == [(10,)]
    postgres.execute("select pg_drop_replication_slot(%s)", table)


def test_what_is_missing_ends_the_run_with_what_to_do(
    server: StreamServer, postgres: PostgresServer, project: Project, table: str
) -> None:
    spec(project, table)

    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, PG=postgres.dsn)

    assert done.returncode == 1
    assert f"there is no publication '{table}'; make it: create publication" in done.stderr
    assert "Traceback" not in done.stderr
    assert PASSWORD not in done.stderr


def is_drained(project: Project, server: StreamServer, dsn: str) -> bool:
    return bool(status_of(project, server, PG=dsn)["drained"])


@pytest.mark.timeout(240)
@pytest.mark.chaos
@pytest.mark.parametrize("seed", [1])
def test_kills_of_workers_and_of_postgres_beside_writers_lose_and_double_no_change(
    server: StreamServer, own_postgres: PostgresServer, project: Project, table: str, seed: int
) -> None:
    draw = random.Random(seed)
    make(own_postgres, table)
    settings = ", timeout: 2s"
    spec(project, table, settings, top="reclaim: {idle: 500ms}")

    def begin() -> Popen[str]:
        return start("run", project.path, "--redis", server.url, cwd=project.root, PG=own_postgres.dsn)

    def has(lines: int) -> bool:
        return len(project.lines_so_far("out.jsonl")) >= lines

    writers = Writers(own_postgres.dsn, table, seed=seed)
    processes = [begin() for _ in range(2)]
    try:
        for kill in range(9):
            there = len(project.lines_so_far("out.jsonl"))
            more = there + draw.randint(1, 60)
            eventually(partial(has, more), timeout=60, what="changes come on")
            if kill % 4 == 2:
                own_postgres.kill()
                own_postgres.start()
            else:
                victim = draw.randrange(2)
                processes[victim].kill()
                processes[victim].communicate()
                processes[victim] = begin()
        writers.stop()
        own_postgres.execute(f"insert into {table} values (-1, 0)")
        eventually(
            lambda: any('"id":-1' in line.replace(" ", "") for line in project.lines_so_far("out.jsonl")),
            timeout=60,
            what="the last change comes",
        )
        # What a killed worker had in flight is taken over later than that, on a busy machine.
        eventually(partial(is_drained, project, server, own_postgres.dsn), timeout=60, what="all is settled")
    finally:
        writers.stop()
        for process in processes:
            process.terminate()
        said = [process.communicate(timeout=PATIENCE)[1] for process in processes]

    assert PASSWORD not in "".join(said)
    history = History()
    # What a killed worker had in flight comes later than what follows it.
    history.apply(sorted(project.lines(), key=itemgetter("change")))
    assert history.wrong == []
    assert history.rows == dict(own_postgres.execute(f"select id, v from {table}"))
    rids = [line["rid"] for line in project.lines()]
    print(json.dumps({"changes": len(rids), "committed": writers.committed}))
    assert len(rids) == len(set(rids))
    assert writers.committed > 20


@pytest.mark.timeout(150)
@pytest.mark.chaos
def test_a_worker_that_wakes_up_beside_its_successor_tells_no_change_twice(
    server: StreamServer, postgres: PostgresServer, project: Project, table: str
) -> None:
    make(postgres, table)
    spec(project, table, top="reclaim: {idle: 500ms}")

    def begin() -> Popen[str]:
        return start("run", project.path, "--redis", server.url, cwd=project.root, PG=postgres.dsn)

    def has(lines: int) -> bool:
        return len(project.lines_so_far("out.jsonl")) >= lines

    writers = Writers(postgres.dsn, table, seed=3)
    processes = [begin()]
    try:
        eventually(partial(has, 420), timeout=60, what="changes come")
        processes[0].send_signal(signal.SIGSTOP)
        there = len(project.lines_so_far("out.jsonl"))
        processes.append(begin())
        eventually(partial(has, there + 30), timeout=60, what="the successor's changes come")
        processes[0].send_signal(signal.SIGCONT)
        there = len(project.lines_so_far("out.jsonl"))
        eventually(partial(has, there + 30), timeout=60, what="changes come on")
        writers.stop()
        postgres.execute(f"insert into {table} values (-1, 0)")
        eventually(
            lambda: any('"id":-1' in line.replace(" ", "") for line in project.lines_so_far("out.jsonl")),
            timeout=60,
            what="the last change comes",
        )
        eventually(partial(is_drained, project, server, postgres.dsn), timeout=60, what="all is settled")
    finally:
        writers.stop()
        for process in processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in processes:
            process.communicate(timeout=PATIENCE)

    history = History()
    history.apply(sorted(project.lines(), key=itemgetter("change")))
    assert history.wrong == []
    assert history.rows == dict(postgres.execute(f"select id, v from {table}"))
    postgres.execute("select pg_drop_replication_slot(%s)", table)
