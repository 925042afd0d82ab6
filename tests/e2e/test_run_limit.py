"""`run --limit`: a few records, to try a pipeline out; `--quiet`; and `rsq-pipe` alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer

STAGES = """
    read: {source: {type: jsonl, path: '*.jsonl'}}
    work: {map: {m: 1 / n}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.records(range(1, 31), "a.jsonl")
    project.records(range(31, 61), "b.jsonl")
    project.spec(STAGES)
    return project


def test_so_many_records_are_read_and_the_next_run_goes_on_behind_them(
    project: Project, server: StreamServer
) -> None:
    first = rsq_pipe("run", project.path, "--redis", server.url, "--limit", "7", cwd=project.root)
    after = project.numbers("out/all.jsonl")
    second = rsq_pipe("run", project.path, "--redis", server.url, "--limit", "30", cwd=project.root)
    then = project.numbers("out/all.jsonl")
    last = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert (first.returncode, second.returncode, last.returncode) == (0, 0, 0)
    assert (after, then) == (list(range(1, 8)), list(range(1, 38)))
    assert project.numbers("out/all.jsonl") == list(range(1, 61))
    assert "by --limit" in first.stderr
    assert "by --limit" not in last.stderr


def test_windows_stay_open_where_more_is_to_come(project: Project, server: StreamServer) -> None:
    project.spec("""
        read: {source: {type: jsonl, path: '*.jsonl'}}
        sums: {aggregate: {compute: {many: count()}}}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
    """)

    first = rsq_pipe("run", project.path, "--redis", server.url, "--limit", "7", cwd=project.root)
    lines = project.lines("out/all.jsonl")
    last = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert (first.returncode, last.returncode) == (0, 0)
    assert lines == []
    assert project.lines("out/all.jsonl") == [{"many": 60}]


def test_several_processes_have_no_limit(project: Project) -> None:
    done = rsq_pipe("run", project.path, "--limit", "7", "--processes", "2", cwd=project.root)

    assert done.returncode == 2
    assert "--limit" in done.stderr


def test_a_quiet_run_says_only_what_is_wrong(project: Project, server: StreamServer) -> None:
    quiet = rsq_pipe("run", project.path, "--redis", server.url, "--quiet", cwd=project.root)
    project.records([0], "c.jsonl")
    bad = rsq_pipe("run", project.path, "--redis", server.url, "--quiet", "--json", cwd=project.root)

    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert bad.returncode == 4
    assert json.loads(bad.stdout)["dead"] == 1
    assert "division by zero" in bad.stderr
    assert "records/s" not in bad.stderr


def test_the_command_alone_shows_three_commands_to_begin_with(tmp_path: Path) -> None:
    done = rsq_pipe(cwd=tmp_path)

    assert done.returncode == 0
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("    rsq-pipe")] == [
        "init",
        "preview",
        "run",
    ]
