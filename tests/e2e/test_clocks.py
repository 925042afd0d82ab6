"""Processes whose clocks are hours apart share a pipeline, and one takes over what another has left."""

from __future__ import annotations

import pytest

from tests.support.command_line import rsq_pipe, start
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import eventually

COUNT = 200
STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    work: {call: "handlers:work"}
    once: {dedupe: {key: n, within: 10m}}
    out: {rate: 500/s, sink: {type: jsonl, path: out.jsonl}}
"""
HANDLERS = """
    import os
    import time

    shown = time.time
    time.time = lambda: shown() + float(os.environ["AHEAD"])

    def work(record, ctx):
        time.sleep(0.01)
        if record["n"] % 20 == 0 and ctx.attempt == 1:
            raise RuntimeError("not yet")
        return record
"""


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
@pytest.mark.parametrize(("first", "second"), [("7200", "-7200"), ("-7200", "7200")])
def test_a_process_whose_clock_is_hours_off_goes_on_where_one_that_was_killed_left(
    project: Project, server: StreamServer, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    project.spec(STAGES, top="reclaim: {idle: 500ms}")
    project.records(range(COUNT))
    project.records(range(COUNT))
    project.handlers(HANDLERS)

    monkeypatch.setenv("AHEAD", first)
    killed = start("run", project.path, "--redis", server.url, cwd=project.root)
    eventually(lambda: len(project.lines_so_far("out.jsonl")) > COUNT // 4, what="some records are through")
    killed.kill()
    killed.communicate()
    monkeypatch.setenv("AHEAD", second)
    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 0, done.stderr
    assert project.numbers() == [*range(COUNT)]
