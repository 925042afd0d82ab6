"""`rsq-pipe delete --drop-slots SPEC`: the replication slots of a pipeline's sources go with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.connectors.postgres_cdc.replication import Replication
from tests.support.command_line import rsq_pipe
from tests.support.postgres import PostgresServer
from tests.support.project import Project
from tests.support.server import StreamServer


@pytest.fixture
def table(postgres: PostgresServer, name: str) -> str:
    made = name.replace("-", "_")
    postgres.execute(f"create table {made} (id bigint primary key)")
    postgres.execute(f"create publication {made} for table {made}")
    return made


@pytest.fixture
def project(tmp_path: Path, name: str, table: str, server: StreamServer, postgres: PostgresServer) -> Project:
    """A pipeline that has run, and its slot."""
    project = Project(tmp_path / "project", name)
    settings = f"publication: {table}, slot: {table}, until: end"
    spec(project, f"{{type: postgres_cdc, dsn: '${{secret:PG}}', {settings}}}")
    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, PG=postgres.dsn)
    assert done.returncode == 0, done.stderr
    assert slots(postgres, table) == 1
    return project


def spec(project: Project, source: str) -> None:
    project.spec(f"""
        read: {{source: {source}}}
        out: {{sink: {{type: jsonl, path: out.jsonl}}}}
    """)


def slots(postgres: PostgresServer, name: str) -> int:
    return len(postgres.execute("select 1 from pg_replication_slots where slot_name = %s", name))


def deleted(project: Project, server: StreamServer, *words: str, dsn: str) -> tuple[int, str]:
    done = rsq_pipe(
        *("delete", project.pipeline, "--redis", server.url, "--yes", *words), cwd=project.root, PG=dsn
    )
    assert "Traceback" not in done.stderr
    return done.returncode, " ".join(f"{done.stdout} {done.stderr}".split())


def test_the_slot_goes_with_the_pipeline(
    project: Project, server: StreamServer, postgres: PostgresServer, table: str
) -> None:
    code, said = deleted(project, server, "--drop-slots", "pipeline.yaml", dsn=postgres.dsn)

    assert code == 0, said
    assert f"stage 'read': the replication slot {table!r} was dropped" in said
    assert "pg_drop_replication_slot" not in said
    assert slots(postgres, table) == 0


def test_a_slot_that_was_dropped_by_hand_is_no_mistake(
    project: Project, server: StreamServer, postgres: PostgresServer, table: str
) -> None:
    postgres.execute("select pg_drop_replication_slot(%s)", table)

    code, said = deleted(project, server, "--drop-slots", "pipeline.yaml", dsn=postgres.dsn)

    assert code == 0, said
    assert f"there was no replication slot {table!r} any more" in said


def test_where_it_cannot_be_dropped_nothing_is_deleted(
    project: Project, server: StreamServer, postgres: PostgresServer, table: str
) -> None:
    nowhere = "host=127.0.0.1 port=1 dbname=x"
    code, said = deleted(project, server, "--drop-slots", "pipeline.yaml", dsn=nowhere)
    assert code == 1, said
    assert f"stage 'read': the replication slot {table!r} cannot be dropped" in said
    assert "nothing was deleted" in said
    assert slots(postgres, table) == 1
    assert deleted(project, server, "--drop-slots", "pipeline.yaml", dsn=postgres.dsn)[0] == 0


def test_a_slot_that_another_program_reads_is_left_and_named(
    project: Project, server: StreamServer, postgres: PostgresServer, table: str
) -> None:
    reader = Replication(postgres.dsn, "another program", 5.0)
    reader.start(table, table, 0)
    try:
        code, said = deleted(project, server, "--drop-slots", "pipeline.yaml", dsn=postgres.dsn)
    finally:
        reader.close()

    assert code == 1, said
    assert "is read by 'another program'" in said
    assert slots(postgres, table) == 1


@pytest.mark.parametrize(
    ("source", "other", "said"),
    [
        ("{type: jsonl, path: in.jsonl}", "", "names no replication slot"),
        ("{type: jsonl, path: in.jsonl}", "other", "is of pipeline 'other'"),
    ],
)
def test_a_file_that_does_not_name_the_slot_is_a_mistake(
    project: Project,
    server: StreamServer,
    postgres: PostgresServer,
    table: str,
    *,
    source: str,
    other: str,
    said: str,
) -> None:
    pipeline, project.pipeline = project.pipeline, other or project.pipeline
    spec(project, source)
    project.pipeline = pipeline

    code, told = deleted(project, server, "--drop-slots", "pipeline.yaml", dsn=postgres.dsn)

    assert (code, said in told) == (2, True), told
    assert slots(postgres, table) == 1
