"""What a stage remembers, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    once: {dedupe: {key: [user, page], within: 24h, max_keys: 10}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.spec(STAGES)
    for n in range(12):
        project.records([n], user=n % 3, page="/tea")
    return project


def test_a_run_drops_duplicates_and_state_and_status_tell_what_is_remembered(
    project: Project, server: StreamServer
) -> None:
    def said(*words: str | Path) -> str:
        done = rsq_pipe(*words, "--redis", server.url, cwd=project.root)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    run = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)
    assert run.returncode == 0, run.stderr
    assert "once dropped: 9 duplicate" in run.stderr
    assert project.numbers("out/all.jsonl") == [0, 1, 2]

    head, columns, part = said("state", project.path, "once").splitlines()
    assert head == f"{project.pipeline}: stage 'once' remembers 3 keys of at most 10"
    assert (columns.split(), part.split()[:3]) == (["part", "keys", "due"], ["1", "3", "in"])
    assert 'once: [1, "/tea"] is in part 1, due in 1d' in said(
        *("state", project.path, "once", "--key", '[1.0, "/tea"]')
    ).replace("1.0", "1")
    assert '[7, "/tea"] is not remembered' in said("state", project.path, "once", "--key", '[7, "/tea"]')
    found = json.loads(said("state", project.path, "once", "--json"))
    assert (found["stage"], found["keys"], found["max_keys"], found["found"]) == ("once", 3, 10, [])
    assert "once remembers 3 keys of at most 10" in said("status", project.path)
    (once,) = [
        one for one in json.loads(said("status", project.path, "--json"))["stages"] if one["name"] == "once"
    ]
    assert once["remembers"] == {"keys": 3, "max_keys": 10, "evicted": 0}


def test_a_stage_that_is_full_stops_the_run_and_says_what_to_do(
    project: Project, server: StreamServer
) -> None:
    for n in range(12, 40):
        project.records([n], user=n, page="/jam")

    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 1
    assert "stage 'once' remembers 10 keys at most, its `max_keys`, and was given more" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stage_without_state_a_stage_that_is_not_there_and_one_that_never_ran_are_told(
    project: Project, server: StreamServer
) -> None:
    def failed(stage: str) -> str:
        done = rsq_pipe("state", project.path, stage, "--redis", server.url, cwd=project.root)
        return done.stderr + done.stdout

    assert "stage 'read' is a source and remembers nothing; name one of once" in failed("read")
    assert "did you mean 'once'?" in failed("onec")
    assert "never ran" in failed("once")


def test_another_key_is_refused_with_the_choices_and_discarding_lets_it_run(
    project: Project, server: StreamServer
) -> None:
    assert rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root).returncode == 0
    project.spec(STAGES.replace("[user, page]", "user"))

    plan = rsq_pipe("plan", project.path, "--redis", server.url, cwd=project.root)
    refused = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)
    done = rsq_pipe("run", project.path, "--redis", server.url, "--discard", "once", cwd=project.root)

    assert (plan.returncode, refused.returncode, done.returncode) == (1, 2, 0)
    assert "remembers 3 keys" in plan.stdout.partition("Nothing was run")[0].splitlines()[3]
    assert "stage 'once' remembers 3 keys by another `dedupe`" in refused.stderr
    assert "discarded of stage 'once': 3 keys that it remembers" in done.stderr
