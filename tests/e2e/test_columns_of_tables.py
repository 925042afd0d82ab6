"""A sink whose table lacks what its records have is told before the run, with its place in the file."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.support.command_line import rsq_pipe
from tests.support.postgres import PostgresServer
from tests.support.project import Project
from tests.support.server import StreamServer


def spec(project: Project, sink: str) -> None:
    project.records(range(3))
    project.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        pick: {{map: {{totl: n * 2}}}}
        out: {{sink: {{{sink}}}}}
        """
    )


@pytest.fixture
def sqlite(project: Project) -> None:
    with closing(sqlite3.connect(project.root / "out.db")) as made:
        made.execute("create table t (n int, total int not null)")
    spec(project, "type: sqlite, path: out.db, table: t")


@pytest.mark.usefixtures("sqlite")
def test_a_field_that_no_column_takes_is_told_by_validate_connect_and_refuses_a_run(
    server: StreamServer, project: Project
) -> None:
    alone = rsq_pipe("validate", project.path, cwd=project.root)
    connected = rsq_pipe("validate", "--connect", project.path, "--redis", server.url, cwd=project.root)
    run = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    told = (
        "stages.out.sink.table: each record has a field 'totl', by stage 'pick', and table 't' has no such "
        "column; did you mean 'total'?"
    )
    assert alone.returncode == 0
    assert connected.returncode == 2, connected.stdout
    assert next(line for line in connected.stdout.splitlines() if told in line).startswith(f"{project.path}:")
    assert (run.returncode, told in run.stderr) == (2, True), run.stderr
    assert "1 mistake; nothing was run" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_run_with_records_that_fit_says_nothing_of_columns(
    server: StreamServer, postgres: PostgresServer, project: Project, table: str
) -> None:
    postgres.execute(
        f"create table {table} (n int primary key, totl bigint not null, at timestamptz default now())"
    )
    spec(project, f"type: postgres, dsn: '{postgres.dsn}', table: {table}")

    run = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert (run.returncode, "column" in run.stderr) == (0, False), run.stderr
    assert postgres.execute(f"select sum(totl) from {table}") == [(6,)]
