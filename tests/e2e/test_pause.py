"""Pausing and resuming stages as users do it, and what a run does with too many dead letters."""

from __future__ import annotations

import json
import signal

import pytest

from tests.support.command_line import rsq_pipe, second_stage, start
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually


@pytest.fixture
def project(project: Project) -> Project:
    project.records(range(1_000))
    project.handlers("""
        import pathlib

        MENDED = pathlib.Path(__file__).parent / "mended"

        def work(record):
            if record["n"] >= 500 and not MENDED.exists():
                raise ValueError("no such product")
            return record
    """)
    return project


def limited(project: Project, then: str) -> None:
    project.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        work: {{call: "handlers:work", on_error: {{dlq: {{max: 5%, over: 400, then: {then}}}}}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        """,
        defaults="defaults: {batch: {size: 50}, retry: {attempts: 1}}",
    )


def test_a_stage_with_too_many_dead_letters_waits_to_be_resumed_through_a_kill(
    project: Project, server: StreamServer
) -> None:
    limited(project, "pause")
    killed = start("run", project.path, "--redis", server.url, cwd=project.root)
    paused = eventually(lambda: second_stage(project, server)["paused"])
    assert paused["held"] is True
    assert "became dead letters; 5% of 400 may" in paused["why"]
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    left = start("run", project.path, "--redis", server.url, "--json", cwd=project.root)
    eventually(lambda: second_stage(project, server)["alive"])
    shown = rsq_pipe("status", project.path, "--redis", server.url, cwd=project.root).stdout
    assert any(
        line.startswith("work paused for ") and "until it is resumed" in line for line in shown.splitlines()
    )
    dead = second_stage(project, server)["dead"]
    assert 20 < dead < 500
    (project.root / "mended").touch()
    done = rsq_pipe("resume", project.path, "work", "--redis", server.url, cwd=project.root)
    assert "work goes on; it was paused for " in done.stdout
    out, err = left.communicate(timeout=PATIENCE)

    assert left.returncode == 0, err
    assert second_stage(project, server)["dead"] == dead, "none more"
    assert len(project.numbers("out/all.jsonl")) == len({*project.numbers("out/all.jsonl")}) == 1_000 - dead
    assert json.loads(out)["stages"][1]["paused"] is None


def test_a_stage_with_too_many_dead_letters_ends_the_run_with_exit_code_1(
    project: Project, server: StreamServer
) -> None:
    limited(project, "stop")

    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 1
    assert "stage 'work' stopped: " in done.stderr
    assert "Traceback" not in done.stderr
    (project.root / "mended").touch()
    again = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)
    assert again.returncode in {0, 4}
    assert len(project.numbers("out/all.jsonl")) == 1_000 - second_stage(project, server)["dead"]


def test_a_stage_is_paused_and_resumed_by_hand_while_it_runs(project: Project, server: StreamServer) -> None:
    limited(project, "stop")
    (project.root / "mended").touch()
    address = ("--redis", server.url)
    paused = rsq_pipe("pause", project.path, "work", "--why", "stock is moved", *address, cwd=project.root)
    assert paused.stdout.endswith(": work is paused\n")

    run = start("run", project.path, *address, cwd=project.root)
    eventually(lambda: second_stage(project, server)["lag"] == 1_000)
    assert second_stage(project, server)["paused"]["why"] == "stock is moved"
    drawn = rsq_pipe("graph", project.path, "--live", *address, cwd=project.root)
    assert "paused, 1,000 waiting" in drawn.stdout
    drawn = rsq_pipe("graph", project.path, "--live", "--json", *address, cwd=project.root)
    assert '"paused": "stock is moved"' in drawn.stdout
    again = rsq_pipe("pause", project.path, "work", *address, cwd=project.root)
    assert again.stdout.endswith(": work was paused before: stock is moved\n")
    wrong = rsq_pipe("resume", project.path, "wrk", *address, cwd=project.root)
    assert (wrong.returncode, "did you mean 'work'?" in wrong.stderr) == (2, True)
    rsq_pipe("resume", project.path, "work", *address, cwd=project.root)
    _, err = run.communicate(timeout=PATIENCE)

    assert run.returncode == 0, err
    assert project.numbers("out/all.jsonl") == list(range(1_000))
    idle = rsq_pipe("resume", project.path, "work", *address, cwd=project.root)
    assert idle.stdout.endswith(": work was not paused by hand, nor for its dead letters\n")
