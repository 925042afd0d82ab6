"""A pipeline that has stopped half-way goes on with another server, after each move that the guide names."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from tests.support.command_line import rsq_pipe, start
from tests.support.project import Project
from tests.support.server import StreamServer, binaries
from tests.support.signals import PATIENCE, eventually

COUNT = 200
STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    slow: {call: "handlers:slow"}
    once: {dedupe: n}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.spec(STAGES)
    project.records(range(COUNT))
    project.records(range(COUNT))  # each is a duplicate of one that the first server may have seen
    project.handlers("""
        import time

        def slow(record):
            time.sleep(0.005)
            if record["n"] == 3:
                raise ValueError("three")
            return record
    """)
    return project


@pytest.fixture(params=binaries())
def old(request: pytest.FixtureRequest) -> Iterator[StreamServer]:
    at_once = {"repl-diskless-sync-delay": "0"}
    with StreamServer(binaries()[request.param], tcp=True, config=at_once) as server:
        yield server


@pytest.fixture
def new(old: StreamServer) -> Iterator[StreamServer]:
    with StreamServer(old.binary, tcp=True) as server:
        yield server


def stop_half_way(project: Project, *options: str) -> None:
    process = start("run", project.path, *options, cwd=project.root)
    eventually(lambda: len(project.lines_so_far()) > 20, what="some records are through")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE)
    assert "still wait" in said


def go_on(project: Project, server: StreamServer) -> None:
    """Run on the new server: each record is once in the file, but for one, which is two dead letters."""
    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode in (0, 4), done.stderr
    assert project.numbers("out/all.jsonl") == [n for n in range(COUNT) if n != 3]
    with closing(redis.Redis(unix_socket_path=str(server.socket))) as client:
        assert client.xlen(f"{{{project.pipeline}}}:slow:dlq") == 2


def test_a_replica_that_is_promoted_has_everything(
    project: Project, old: StreamServer, new: StreamServer
) -> None:
    stop_half_way(project, "--redis", old.url)

    with closing(redis.Redis(port=new.port)) as client:
        client.replicaof("127.0.0.1", str(old.port))
        eventually(lambda: client.info("replication")["master_link_status"] == "up")
        client.replicaof("NO", "ONE")

    go_on(project, new)


def test_one_pipeline_can_be_migrated_to_a_server_that_holds_others(
    project: Project, old: StreamServer, new: StreamServer
) -> None:
    stop_half_way(project, "--redis", old.url)

    with closing(redis.Redis(port=old.port)) as client, closing(redis.Redis(port=new.port)) as other:
        other.set("something", "else")
        names = list(client.scan_iter(f"{{{project.pipeline}}}:*"))
        client.migrate("127.0.0.1", new.port, names, 0, 60_000)
        assert client.dbsize() == 0

    go_on(project, new)


@pytest.mark.parametrize("kind", binaries())
def test_the_files_of_the_embedded_server_are_read_by_another(project: Project, kind: str) -> None:
    stop_half_way(project)
    files = project.root / ".rsq/data/appendonlydir"

    as_commands = {"aof-use-rdb-preamble": "no"}
    with prepared(StreamServer(binaries()["valkey"], appendonly=True, config=as_commands), files) as between:
        with closing(redis.Redis(unix_socket_path=str(between.socket))) as client:
            client.bgrewriteaof()
            eventually(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        between.stop()
        with prepared(StreamServer(binaries()[kind], appendonly=True), between.folder / files.name) as server:
            go_on(project, server)


def prepared(server: StreamServer, files: Path) -> StreamServer:
    """Give a server its files before it starts."""
    shutil.copytree(files, server.folder / files.name)
    return server
