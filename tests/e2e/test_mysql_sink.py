"""Records go into MariaDB once each, also through kills of workers and of the server."""

from __future__ import annotations

import random
from pathlib import Path
from subprocess import Popen

import pytest

from tests.support.command_line import rsq_pipe, start
from tests.support.mariadb import PASSWORD, MariadbServer, mariadb, mariadb_binary, own_mariadb
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import eventually

__all__ = ["mariadb", "mariadb_binary", "own_mariadb"]


@pytest.fixture
def project(tmp_path: Path, name: str) -> Project:
    return Project(tmp_path / "project", name)


@pytest.fixture
def table(name: str) -> str:
    return name.replace("-", "_")


def spec(project: Project, settings: str, top: str = "") -> None:
    project.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        out: {{sink: {{type: mysql, dsn: "${{secret:MYSQL}}", {settings}}}}}
        """,
        top=top,
    )


def test_a_second_run_adds_nothing_and_a_bad_record_is_a_dead_letter(
    server: StreamServer, mariadb: MariadbServer, project: Project, table: str
) -> None:
    project.records(range(100), at="2026-11-27T10:00:00")
    project.records([7], at="no date")
    spec(project, f"table: {table}, create: true, types: {{at: datetime}}")
    arguments = ("run", project.path, "--redis", server.url)

    first = rsq_pipe(*arguments, cwd=project.root, MYSQL=mariadb.dsn)
    second = rsq_pipe(*arguments, cwd=project.root, MYSQL=mariadb.dsn)
    listed = rsq_pipe(
        *("dlq", "list", project.path, "--redis", server.url, "--json"), cwd=project.root, MYSQL=mariadb.dsn
    )

    assert first.returncode == 4, first.stderr
    assert mariadb.execute(f"select count(*), sum(n) from {table}")[0] == (100, 4950)
    assert "Incorrect datetime value: 'no date' for column" in listed.stdout
    assert PASSWORD not in first.stderr + second.stderr + listed.stdout


@pytest.mark.timeout(150)
@pytest.mark.chaos
def test_kills_of_workers_and_of_mariadb_lose_and_double_nothing(
    server: StreamServer, own_mariadb: MariadbServer, project: Project, table: str
) -> None:
    draw = random.Random(5)
    count = 20_000
    project.records(range(count))
    spec(project, f"table: {table}, timeout: 2s", top="reclaim: {idle: 500ms}")
    own_mariadb.execute(f"create table {table} (n int)")

    def begin() -> Popen[str]:
        return start("run", project.path, "--redis", server.url, cwd=project.root, MYSQL=own_mariadb.dsn)

    def rows() -> int:
        return int(own_mariadb.execute(f"select count(*) from {table}")[0][0])

    processes = [begin() for _ in range(2)]
    in_the_middle = 0
    try:
        for kill in range(5):
            before = rows()
            eventually(lambda before=before: rows() > before or rows() == count, timeout=30, what="rows come")  # type: ignore[misc]
            in_the_middle += rows() < count
            if kill == 2:
                own_mariadb.kill()
                own_mariadb.start()
            for victim in {draw.randrange(2), 0}:
                processes[victim].kill()
                processes[victim].communicate()
                processes[victim] = begin()
        for process in processes:
            _, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            assert PASSWORD not in err
    finally:
        for process in processes:
            process.kill()
            process.communicate()

    assert in_the_middle >= 2
    assert own_mariadb.execute(f"select count(*), count(distinct n) from {table}") == [(count, count)]
