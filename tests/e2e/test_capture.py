"""`test capture`: a failure of a real run becomes a test, and stays one until somebody mends it."""

from __future__ import annotations

import json

import pytest

from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    work: {call: "handlers:work", with: {key: "${secret:API_KEY}"}}
    write: {sink: {type: jsonl, path: out.jsonl}}
"""
HANDLERS = """
    def work(record, ctx):
        if record["n"] == 1:
            raise ValueError(f"cannot do {record['n']} with {ctx.values['key']}")
        return {**record, "done": True}
"""
SECRET = "very-secret-k3y"


@pytest.fixture
def project(project: Project) -> Project:
    project.spec(STAGES)
    project.handlers(HANDLERS)
    project.records(range(3), email="ada@example.org", api_token="t0ps3cret", note=None)
    return project


def capture(project: Project, server: StreamServer, origin: str, *options: str) -> str:
    at = ("pipeline.yaml", "--redis", server.url, "--from", origin, *options)
    done = rsq_pipe("test", "capture", *at, cwd=project.root, API_KEY=SECRET)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_dead_letter_becomes_a_test_of_its_failure(project: Project, server: StreamServer) -> None:
    run = rsq_pipe("run", "pipeline.yaml", "--redis", server.url, cwd=project.root, API_KEY=SECRET)
    assert run.returncode == 4
    shown = rsq_pipe(
        *("dlq", "show", "pipeline.yaml", "--redis", server.url, "--json"), cwd=project.root, API_KEY=SECRET
    )
    letter = json.loads(shown.stdout)

    said = capture(project, server, f"dlq:work/{letter['id']}", "--redact", "email")

    text = (project.root / "pipeline_test.yaml").read_text()
    assert "It happens here as it did there." in said
    assert "masked: email, api_token" in said
    assert not [secret for secret in ("ada@", "t0ps3cret", SECRET) if secret in text + said]
    assert "{n: 1, email: '***', api_token: '***', note: null}" in text
    assert "{reason: handler_error, error: 'ValueError: cannot do 1 with ***'}" in text

    passes = rsq_pipe("test", cwd=project.root, API_KEY=SECRET)
    project.handlers(HANDLERS.replace('record["n"] == 1', "False"))
    mended = rsq_pipe("test", cwd=project.root, API_KEY=SECRET)

    assert (passes.returncode, mended.returncode) == (0, 1)
    assert "pipeline_test.yaml:10:11: dlq[0] did not come" in mended.stdout


def test_of_a_failure_that_is_mended_by_now_it_says_how_the_test_expects_what_happens_now(
    project: Project, server: StreamServer
) -> None:
    rsq_pipe("run", "pipeline.yaml", "--redis", server.url, cwd=project.root, API_KEY=SECRET)
    project.handlers(HANDLERS.replace('record["n"] == 1', "False"))

    said = capture(project, server, "dlq:read:in.jsonl:2")
    updated = rsq_pipe("test", "--update", "pipeline.yaml", cwd=project.root, API_KEY=SECRET)
    passes = rsq_pipe("test", cwd=project.root, API_KEY=SECRET)

    assert "It does not happen here as it did there. If it is mended by now, `rsq-pipe test --update" in said
    assert "pipeline.yaml` writes what happens now" in said
    assert "updated" in updated.stdout
    assert passes.returncode == 0, passes.stdout


def test_of_what_a_sink_refused_it_says_how_a_test_has_that(project: Project, server: StreamServer) -> None:
    project.spec(
        """
    read: {source: {type: jsonl, path: in.jsonl}}
    write: {sink: {type: exec, shell: "! grep -q '\\"n\\":1'"}, retry: {attempts: 1}}
"""
    )
    run = rsq_pipe("run", "pipeline.yaml", "--redis", server.url, cwd=project.root)
    assert run.returncode == 4, run.stderr
    shown = rsq_pipe("dlq", "show", "pipeline.yaml", "--redis", server.url, "--json", cwd=project.root)

    said = capture(project, server, f"dlq:write/{json.loads(shown.stdout)['id']}")

    assert "mocks: {sinks: {write: {refuse: EXPRESSION, error: TEXT}}}" in said


def test_a_record_that_went_through_becomes_a_test_of_the_whole_pipeline(
    project: Project, server: StreamServer
) -> None:
    rsq_pipe("run", "pipeline.yaml", "--redis", server.url, cwd=project.root, API_KEY=SECRET)

    capture(project, server, "trace:read:in.jsonl:3", "--name", "the third")
    again = capture(project, server, "trace:read:in.jsonl:3", "--name", "the third")

    assert "'the third (2)'" in again
    done = rsq_pipe("test", "-k", "third", cwd=project.root, API_KEY=SECRET)
    assert (done.returncode, "2 passed" in done.stdout) == (0, True)
    assert "done: true" in (project.root / "pipeline_test.yaml").read_text()


def test_what_is_not_there_any_more_cannot_be_captured(project: Project, server: StreamServer) -> None:
    rsq_pipe("run", "pipeline.yaml", "--redis", server.url, cwd=project.root, API_KEY=SECRET)
    at = ("pipeline.yaml", "--redis", server.url, "--from")

    for origin, code in (("trace:read:in.jsonl:9", 1), ("dlq:1-1", 1), ("read:1", 2)):
        done = rsq_pipe("test", "capture", *at, origin, cwd=project.root, API_KEY=SECRET)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert not (project.root / "pipeline_test.yaml").exists()
