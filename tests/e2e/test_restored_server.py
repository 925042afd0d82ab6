"""A server that comes back as it was some time ago, under a run that goes on: what it lost is read again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from tests.support.command_line import rsq_pipe, start
from tests.support.guarded_server import GuardedServer
from tests.support.project import Project
from tests.support.server import StreamServer, binaries
from tests.support.signals import TO_END, eventually

COUNT = 3_000
BEFORE = 1_000

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    wait: {call: "handlers:wait"}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""

HANDLERS = """
    import time

    def wait(record, ctx):
        while not (ctx.root / "open").exists():
            time.sleep(0.01)
        return record
"""


@pytest.fixture
def durable() -> Iterator[StreamServer]:
    with GuardedServer(binaries()["valkey"], appendonly=True, config={"appendfsync": "always"}) as server:
        yield server


def counted(server: StreamServer, counter: str) -> int:
    with closing(redis.Redis(unix_socket_path=str(server.socket))) as client:
        return int(client.hget("{orders}:meta", counter) or 0)


def backup(server: StreamServer, folder: Path) -> None:
    server.stop()
    shutil.copytree(server.folder / "appendonlydir", folder)
    server.start()


def restore(server: StreamServer, folder: Path) -> None:
    server.kill()
    shutil.rmtree(server.folder / "appendonlydir")
    shutil.copytree(folder, server.folder / "appendonlydir")
    server.start()


@pytest.mark.parametrize(
    ("bound", "read"),
    [(10_000, COUNT), (200, BEFORE + 200)],
    ids=["all was read", "the stage below was full"],
)
@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_run_reads_again_what_a_server_that_was_restored_under_it_has_lost(
    tmp_path: Path, durable: StreamServer, bound: int, read: int, processes: str
) -> None:
    project = Project(tmp_path / "project", "orders")
    project.records(range(COUNT))
    project.handlers(HANDLERS)
    project.spec(STAGES, top=f"max_backlog: {bound}")
    gate = project.root / "open"
    gate.touch()
    first = rsq_pipe("run", project.path, "--redis", durable.url, "--limit", str(BEFORE), cwd=project.root)
    assert first.returncode == 0, first.stderr
    backup(durable, tmp_path / "backup")
    gate.unlink()

    with start(
        "run", project.path, "--redis", durable.url, "--processes", processes, cwd=project.root
    ) as run:
        eventually(
            lambda: counted(durable, "read:out") == read, what="the source is read as far as it may be"
        )
        restore(durable, tmp_path / "backup")
        gate.touch()
        try:
            _, told = run.communicate(timeout=TO_END)
        finally:
            run.kill()

    assert run.returncode == 0, told
    assert project.numbers("out/all.jsonl") == list(range(COUNT)), told
    assert "the server is back at an earlier moment" in told


def test_a_file_that_is_followed_is_read_again_from_where_the_restored_server_is(
    tmp_path: Path, durable: StreamServer
) -> None:
    project = Project(tmp_path / "project", "orders")
    project.records(range(COUNT))
    project.handlers(HANDLERS)
    project.spec(STAGES.replace("in.jsonl", "in.jsonl, follow: true"))
    (project.root / "open").touch()
    rsq_pipe("run", project.path, "--redis", durable.url, "--limit", str(BEFORE), cwd=project.root)
    backup(durable, tmp_path / "backup")

    with start("run", project.path, "--redis", durable.url, cwd=project.root) as run:
        try:
            eventually(lambda: counted(durable, "out:in") == COUNT, what="all was read")
            restore(durable, tmp_path / "backup")
            eventually(lambda: counted(durable, "out:in") == COUNT, what="what was lost was read again")
        finally:
            run.terminate()
            _, told = run.communicate(timeout=TO_END)

    assert run.returncode == 0, told
    assert project.numbers("out/all.jsonl") == list(range(COUNT)), told
