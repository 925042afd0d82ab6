"""How a run ended is told by `status`, whatever the server refuses at its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.command_line import rsq_pipe, start, status_of
from tests.support.guarded_server import GuardedServer
from tests.support.project import Project
from tests.support.signals import PATIENCE, eventually

ENDLESS = """
    read: {source: {type: jsonl, path: in.jsonl, follow: true}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""


@pytest.fixture
def admin(own_server: GuardedServer) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(own_server.socket)) as admin:
        yield admin


@pytest.fixture
def project(tmp_path: Path, name: str) -> Project:
    project = Project(tmp_path / "project", name)
    project.records(range(100))
    project.spec(ENDLESS)
    return project


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("evalsha", "no permissions to run the 'evalsha' command"),  # gives up the lease, and much more
        ("hset", "or the server refused to store why; its log may say more"),  # stores the reason
    ],
)
def test_a_right_that_is_taken_away_during_a_run_is_told_as_its_end(
    project: Project, own_server: GuardedServer, admin: redis.Redis, command: str, why: str
) -> None:
    with start("run", project.path, "--redis", own_server.url, cwd=project.root) as running:
        eventually(lambda: len(project.lines("out/all.jsonl")) == 100, what="it runs")
        admin.acl_setuser("run", enabled=True, commands=[f"-{command}"])
        project.records([100])
        _, stderr = running.communicate(timeout=PATIENCE)
    assert running.returncode == 1
    assert f"the '{command}' command" in stderr

    failed = status_of(project, own_server)["failed"]
    assert why in failed["why"]

    admin.acl_setuser("run", enabled=True, commands=[f"+{command}"])
    project.spec(ENDLESS.replace(", follow: true", ""))
    again = rsq_pipe("run", project.path, "--redis", own_server.url, cwd=project.root)
    assert again.returncode == 0, again.stderr
    assert ("an earlier run: its process ended without a word" in again.stderr) is (command == "hset")


def test_a_process_that_died_in_a_run_of_several_is_not_told_as_its_end(
    project: Project, own_server: GuardedServer
) -> None:
    project.handlers("""
        import os
        import time
        from pathlib import Path

        def slow(record):
            Path(f"pids/{os.getpid()}").touch()
            time.sleep(0.02)
            return record
    """)
    pids = project.root / "pids"
    pids.mkdir()
    project.spec("""
        read: {source: {type: jsonl, path: in.jsonl}}
        slow: {call: "handlers:slow"}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
    """)
    words = ("run", project.path, "--redis", own_server.url, "--processes", "2", "--fresh")
    with start(*words, cwd=project.root) as running:
        victim = eventually(lambda: [*pids.iterdir()], what="a process is at work")[0]
        os.kill(int(victim.name), signal.SIGKILL)
        _, stderr = running.communicate(timeout=PATIENCE)

    assert running.returncode == 0, stderr
    assert "a process died and is started again" in stderr
    assert status_of(project, own_server)["failed"] is None
