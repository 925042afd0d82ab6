"""Records go into MariaDB once each, also through kills of workers and of the server."""

from __future__ import annotations

from tests.support.command_line import rsq_pipe
from tests.support.mariadb import MariadbServer
from tests.support.private_server import PASSWORD
from tests.support.project import Project
from tests.support.server import StreamServer


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
