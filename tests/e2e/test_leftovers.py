"""`run --rename` and `--discard` do what they say for all that is left, or nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.command_line import rsq_pipe, start
from tests.support.project import Project
from tests.support.server import StreamServer, binaries
from tests.support.signals import PATIENCE, TO_END, eventually

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    one: {call: "handlers:one"}
    two: {call: "handlers:two"}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""
RENAMED = STAGES.replace("one:", "first:", 1).replace("two:", "second:", 1)


@pytest.fixture
def valkey() -> Iterator[StreamServer]:
    with StreamServer(binaries()["valkey"]) as server:
        yield server


@pytest.fixture
def project(project: Project) -> Project:
    """A pipeline of which two stages can fail a record."""
    project.records(range(8))
    project.handlers("""
        def one(record):
            return refuse(record, 3)

        def two(record):
            return refuse(record, 5)

        def refuse(record, number):
            if record["n"] == number:
                raise ValueError(number)
            return record
    """)
    return project


def run(project: Project, server: StreamServer, *options: str) -> subprocess.CompletedProcess[str]:
    return rsq_pipe("run", project.path, *options, cwd=project.root, RSQ_PIPE_REDIS=server.url)


def planned(project: Project, server: StreamServer) -> dict[str, tuple[str, int]]:
    """Return what became of each stage, and how many dead letters it holds."""
    told = rsq_pipe("plan", project.path, "--json", cwd=project.root, RSQ_PIPE_REDIS=server.url)
    return {
        change["stage"]: (change["kind"], change["holds"]["dead"])
        for change in json.loads(told.stdout)["stages"]
    }


@pytest.mark.parametrize("half", [("--rename", "one=second"), ("--discard", "two")])
def test_a_choice_for_some_of_what_is_left_changes_nothing_and_names_the_others(
    project: Project, valkey: StreamServer, half: tuple[str, str]
) -> None:
    project.spec(STAGES)
    assert run(project, valkey).returncode == 4
    project.spec(RENAMED)
    before = planned(project, valkey)

    refused = run(project, valkey, *half)

    assert refused.returncode == 2
    other = "two" if "one" in half[1] else "one"
    assert f"Nothing was run, because the command says nothing about {other!r}. Choose" in refused.stderr
    assert planned(project, valkey) == before
    assert not list(project.root.glob("*-discarded-*"))


def test_what_is_offered_after_half_a_choice_keeps_that_half(project: Project, valkey: StreamServer) -> None:
    project.spec(STAGES)
    run(project, valkey)
    project.spec(RENAMED)

    refused = run(project, valkey, "--rename", "one=second")
    whole = run(project, valkey, "--rename", "one=second", "--rename", "two=first")

    assert "--rename one=second --rename two=first\n" in refused.stderr
    assert whole.returncode == 0, whole.stderr
    held = planned(project, valkey)
    assert (held["first"], held["second"]) == (("same", 1), ("same", 1))


def test_a_name_that_no_run_had_changes_nothing_even_after_one_that_had(
    project: Project, valkey: StreamServer
) -> None:
    project.spec(STAGES)
    run(project, valkey)
    project.spec(RENAMED)
    before = planned(project, valkey)

    refused = run(project, valkey, "--discard", "one", "--rename", "tow=second")

    assert refused.returncode == 2
    assert "never ran with a stage 'tow'; did you mean 'two'?" in refused.stderr
    assert planned(project, valkey) == before


def test_a_refusal_names_the_processes_that_must_be_stopped_before_any_choice(
    project: Project, valkey: StreamServer
) -> None:
    project.spec(STAGES.replace("path: in.jsonl", "path: in.jsonl, follow: true"))
    process = start("run", project.path, cwd=project.root, RSQ_PIPE_REDIS=valkey.url)
    try:
        eventually(
            lambda: planned(project, valkey)["two"] == ("same", 1), timeout=TO_END, what="its dead letters"
        )
        project.spec(RENAMED.replace("path: in.jsonl", "path: in.jsonl, follow: true"))

        refused = run(project, valkey)
        told = rsq_pipe("plan", project.path, cwd=project.root, RSQ_PIPE_REDIS=valkey.url)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)

    for text in (refused.stderr, told.stdout):
        assert "Stop what still runs another version of the file first: run-" in text
