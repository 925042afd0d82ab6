"""What a newer release stored in a form of its own is refused and left alone; `run --fresh` starts over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from rsq_pipe.engine.changes.last_run import FORM
from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer

pytestmark = pytest.mark.parametrize("server", ["valkey"], indirect=True)

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    check: {call: "handlers:check"}
    out: {sink: {type: jsonl, path: out.jsonl}}
"""
REFUSED = [
    ("run", "SPEC"),
    ("plan", "SPEC"),
    ("plan", "SPEC", "--prune"),
    ("dlq", "replay", "SPEC", "--yes"),
    ("dlq", "replay", "NAME", "--yes"),
    ("delete", "NAME", "--yes"),
]


@pytest.fixture
def project(project: Project) -> Project:
    project.spec(STAGES)
    project.records(range(5))
    project.handlers("""
        def check(record):
            if record["n"] == 3:
                raise ValueError("three")
            return record
    """)
    return project


@pytest.fixture
def client(server: StreamServer) -> Iterator[Any]:
    with redis.Redis.from_url(server.url) as client:
        yield client


def ran_in_another_form(project: Project, server: StreamServer, client: Any, form: int) -> None:
    """Run the pipeline, and store it as a release with another form would."""
    assert rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root).returncode == 4
    meta = f"{{{project.pipeline}}}:meta"
    graph = json.loads(client.hget(meta, "graph"))
    assert graph["form"] == FORM
    client.hset(meta, "graph", json.dumps({**graph, "form": form, "stages": "in another form, too"}))


def held(project: Project, client: Any) -> dict[str, Any]:
    key = f"{{{project.pipeline}}}"
    streams = [f"{key}:{name}" for name in ("read", "check", "check:again", "check:dlq")]
    return {"meta": client.hgetall(f"{key}:meta"), **{name: client.xrange(name) for name in streams}}


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_what_a_newer_release_stored_is_refused_and_stays_as_it_is(
    project: Project, server: StreamServer, client: Any, words: tuple[str, ...]
) -> None:
    ran_in_another_form(project, server, client, FORM + 1)
    before = held(project, client)
    project.records([5])

    names = {"SPEC": str(project.path), "NAME": project.pipeline}
    done = rsq_pipe(*(names.get(word, word) for word in words), "--redis", server.url, cwd=project.root)

    told = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert f"pipeline {project.pipeline!r} was run by a newer rsq-pipe" in told
    assert f"has form {FORM + 1}, and rsq-pipe 0.1.0 knows form {FORM}" in told
    assert "Traceback" not in told
    assert held(project, client) == before
    assert len(project.lines()) == 4


def test_fresh_starts_over_from_what_a_newer_release_stored(
    project: Project, server: StreamServer, client: Any
) -> None:
    ran_in_another_form(project, server, client, FORM + 1)
    project.records([5])

    done = rsq_pipe("run", project.path, "--fresh", "--yes", "--redis", server.url, cwd=project.root)

    assert done.returncode == 4, done.stderr
    assert [line["n"] for line in project.lines()] == [0, 1, 2, 4, 5]


def test_one_pipeline_of_a_newer_form_does_not_hide_the_others(
    project: Project, server: StreamServer, client: Any
) -> None:
    ran_in_another_form(project, server, client, FORM + 1)

    done = rsq_pipe("pipelines", "--redis", server.url, cwd=project.root)

    assert done.returncode == 0, done.stderr
    assert project.pipeline in done.stdout
    assert "was run by a newer rsq-pipe" in " ".join((done.stdout + done.stderr).split())
