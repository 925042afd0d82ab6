"""A server that deletes keys to make room: a run says so before anything is lost."""

from __future__ import annotations

import pytest

from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer, binaries

TOLD = "the server evicts keys when it is full"


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize(("limit", "times"), [("100mb", 1), ("0", 0)])
def test_a_run_warns_once_of_a_server_that_evicts_keys_when_it_is_full(
    project: Project, limit: str, times: int, processes: str
) -> None:
    project.records(range(3))
    project.spec("""
        read: {source: {type: jsonl, path: in.jsonl}}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
    """)
    config = {"maxmemory": limit, "maxmemory-policy": "allkeys-lru"}

    with StreamServer(binaries()["valkey"], config=config) as server:
        run = rsq_pipe("run", project.path, "--redis", server.url, "--processes", processes, cwd=project.root)

    assert run.returncode == 0, run.stderr
    assert run.stderr.count(TOLD) == times
