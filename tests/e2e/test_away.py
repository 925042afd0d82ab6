"""What a source reads from, or a sink writes to, is away for a while: what a user sees of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import Any

import psycopg
from redis import Redis

from tests.support.command_line import rsq_pipe, start, status_of
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually


@contextmanager
def running(project: Project, server: StreamServer) -> Iterator[Popen[str]]:
    process = start("run", project.path, "--redis", server.url, cwd=project.root)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def paused(project: Project, server: StreamServer, stage: str) -> Any:
    stages = status_of(project, server)["stages"]
    return next(one for one in stages if one["name"] == stage)["paused"]


def status(project: Project, server: StreamServer) -> list[str]:
    return rsq_pipe("status", project.path, "--redis", server.url, cwd=project.root).stdout.splitlines()


def test_status_says_which_database_a_sink_waits_for_and_stops_once_it_is_back(
    project: Project, server: StreamServer, own_postgres: PostgresServer
) -> None:
    project.records(range(100))
    project.spec(f"""
        read: {{source: {{type: jsonl, path: in.jsonl, follow: true}}}}
        out: {{sink: {{type: postgres, dsn: "{own_postgres.dsn}", table: away, create: true}}}}
    """)
    with running(project, server) as run:
        eventually(lambda: _count(own_postgres) == 100)
        own_postgres.kill()
        project.records(range(100, 200))

        def refused() -> bool:
            seen = paused(project, server, "out")
            return seen is not None and "Connection refused" in seen["why"] and not seen["held"]

        eventually(refused)
        assert any(line.startswith("out paused for ") for line in status(project, server))

        own_postgres.start()
        eventually(lambda: _count(own_postgres) == 200)
        eventually(lambda: paused(project, server, "out") is None)
        assert run.poll() is None


def test_a_sink_that_several_may_write_stays_one_consumer_however_often_a_write_fails(
    project: Project, server: StreamServer, own_postgres: PostgresServer
) -> None:
    project.records(range(100))
    options = f'dsn: "{own_postgres.dsn}", table: away, create: true, timeout: 1s, writers: 2'
    project.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl, follow: true}}}}
        out: {{sink: {{type: postgres, {options}}}}}
        """,
        top="reclaim: {idle: 300ms}",
    )
    stream = f"{{{project.pipeline}}}:read"
    with running(project, server), Redis(unix_socket_path=str(server.socket), decode_responses=True) as redis:
        eventually(lambda: _count(own_postgres) == 100)
        with psycopg.connect(own_postgres.dsn) as locking:
            locking.execute("lock table away in access exclusive mode")
            project.records(range(100, 101))
            seen = [False]  # whether the batch is handed back, each time that this changes

            def has_failed_three_times() -> bool:
                found: Any = redis.xpending_range(stream, "out", "-", "+", 1)
                is_back = bool(found) and found[0]["time_since_delivered"] > 3_600_000
                seen.extend([is_back] if is_back != seen[-1] else [])
                return seen.count(True) >= 3

            eventually(has_failed_three_times, what="the batch was handed back three times")
            consumers: Any = redis.xinfo_consumers(stream, "out")
            assert len(consumers) == 1
        eventually(lambda: _count(own_postgres) == 101)


def test_status_says_what_a_source_waits_for(project: Project, server: StreamServer) -> None:
    project.spec(f"""
        read: {{source: {{type: http, url: "http://127.0.0.1:{free_port()}/orders"}}}}
        out: {{sink: {{type: jsonl, path: out.jsonl}}}}
    """)
    with running(project, server) as run:
        seen = eventually(lambda: paused(project, server, "read"))
        assert "127.0.0.1" in seen["why"]

        run.send_signal(signal.SIGTERM)
        _, err = run.communicate(timeout=PATIENCE)
        assert "read paused since " in err


def _count(server: PostgresServer) -> int:
    if not server.execute("select to_regclass('away')")[0][0]:
        return 0
    found: int = server.execute("select count(*) from away")[0][0]
    return found
