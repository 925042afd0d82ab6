"""Why a run could not begin is shown as the last failure, until one works."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.support.command_line import rsq_pipe, start, status_of
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually

WORKS = """
    read: {source: {type: jsonl, path: in.jsonl}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""
NO_FILE = WORKS.replace("in.jsonl", "gone.jsonl")
STRANDS = """
    read: {source: {type: jsonl, path: in.jsonl}}
    fails: {map: {m: "1 / (n - n)"}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""
NO_COLUMN = STRANDS.replace("type: jsonl, path: out/all.jsonl", "type: sqlite, path: some.db, table: orders")


@pytest.fixture
def ran(project: Project, server: StreamServer) -> Project:
    """A pipeline that has left dead letters."""
    with closing(sqlite3.connect(project.root / "some.db")) as made:
        made.execute("create table orders (n int)")
    project.records(range(3))
    project.spec(STRANDS)
    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)
    assert done.returncode == 4, done.stderr
    return project


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["one process", "two"])
@pytest.mark.parametrize(
    ("stages", "why"),
    [(NO_FILE, "gone.jsonl"), (NO_COLUMN, "no such column"), (WORKS, "stage 'fails'")],
    ids=["a missing file", "a missing column", "a file that strands dead letters"],
)
def test_why_a_run_could_not_begin_is_the_last_failure_until_one_ends_well(
    ran: Project, server: StreamServer, stages: str, why: str, options: tuple[str, ...]
) -> None:
    ran.spec(stages)

    refused = rsq_pipe("run", ran.path, "--redis", server.url, *options, cwd=ran.root)
    shown = status_of(ran, server)["failed"]

    assert refused.returncode in (1, 2), refused.stderr
    assert why in refused.stderr
    assert shown is not None
    assert why in shown["why"]
    ran.spec(STRANDS)
    rsq_pipe("run", ran.path, "--redis", server.url, *options, cwd=ran.root)
    assert status_of(ran, server)["failed"] is None


def test_a_run_that_is_refused_beside_another_is_not_the_failure_of_that_one(
    ran: Project, server: StreamServer
) -> None:
    ran.spec(STRANDS.replace("in.jsonl", "in.jsonl, follow: true"))
    with start("run", ran.path, "--redis", server.url, cwd=ran.root) as running:
        eventually(lambda: status_of(ran, server)["runs"], what="it runs")
        ran.spec(NO_FILE)

        refused = rsq_pipe("run", ran.path, "--redis", server.url, cwd=ran.root)

        assert refused.returncode == 2
        assert status_of(ran, server)["failed"] is None
        running.terminate()
        running.communicate(timeout=PATIENCE)


def test_an_embedded_server_that_never_was_is_not_started_for_a_refused_run(project: Project) -> None:
    project.spec(NO_FILE)

    refused = rsq_pipe("run", project.path, cwd=project.root)

    assert refused.returncode == 2
    assert not list((project.root / ".rsq").glob("*/*"))
