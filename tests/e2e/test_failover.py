"""A failover to a replica that lacks the last records: what it takes back, and what stays whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from tests.support.command_line import rsq_pipe, start
from tests.support.guarded_server import GuardedServer
from tests.support.project import Project
from tests.support.server import StreamServer, binaries
from tests.support.signals import PATIENCE, eventually

BINARIES = binaries()
COUNT = 4_000

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    note: {call: "handlers:note"}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""

HANDLERS = """
    def note(record, ctx):
        with open(ctx.root / "effects.txt", "a") as file:
            print(ctx.rid, file=file)
        return record
"""


@pytest.fixture(params=BINARIES)
def primary(request: pytest.FixtureRequest) -> Iterator[StreamServer]:
    # A replica that asks gets its copy at once; by default the primary waits for others to ask.
    at_once = {"repl-diskless-sync-delay": "0"}
    with GuardedServer(BINARIES[request.param], tcp=True, config=at_once) as server:
        yield server


@pytest.fixture
def replica(primary: StreamServer) -> Iterator[StreamServer]:
    follow = {"replicaof": f"127.0.0.1 {primary.port}"}
    with GuardedServer(primary.binary, tcp=True, config=follow) as server:
        with closing(redis.Redis(port=server.port)) as client:
            eventually(lambda: client.info("replication")["master_link_status"] == "up")
        yield server


def promote(server: StreamServer) -> None:
    with closing(redis.Redis(port=server.port)) as client:
        client.replicaof("NO", "ONE")


def test_files_go_back_with_a_failover_and_hold_each_record_once_while_effects_are_repeated(
    tmp_path: Path, primary: StreamServer, replica: StreamServer
) -> None:
    project = Project(tmp_path / "project", "orders")
    project.records(range(COUNT))
    project.handlers(HANDLERS)
    project.spec(STAGES, top="max_backlog: 200")

    run = start("run", project.path, "--redis", primary.tcp_url, cwd=project.root)
    with run:
        eventually(lambda: len(project.lines_so_far()) > COUNT // 8, what="the run is under way")
        promote(replica)  # the primary accepts on, where nobody will look again
        assert run.wait(timeout=PATIENCE) == 0
    assert project.numbers("out/all.jsonl") == list(range(COUNT))
    again = rsq_pipe("run", project.path, "--redis", replica.tcp_url, cwd=project.root)

    assert again.returncode == 0, again.stderr
    assert "nothing new" not in again.stderr
    assert project.numbers("out/all.jsonl") == list(range(COUNT))
    effects = project.lines_so_far("effects.txt")
    assert len(effects) > len(set(effects)) == COUNT
