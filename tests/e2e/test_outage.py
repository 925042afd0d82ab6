"""What a handler calls is away for a while: what a user sees of it, and that nothing has to be sent back."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

import pytest

from tests.support.command_line import rsq_pipe, second_stage, start
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually

WHY = "ConnectionRefusedError: no stock service"


@pytest.fixture
def project(project: Project) -> Project:
    project.records(range(2_000))
    project.handlers("""
        import pathlib

        DOWN = pathlib.Path(__file__).parent / "down"

        def stock(record, ctx):
            if DOWN.exists():
                raise ConnectionRefusedError("no stock service")
            return {**record, "attempt": ctx.attempt}
    """)
    (project.root / "down").touch()
    project.spec(
        """
        read: {source: {type: jsonl, path: in.jsonl}}
        stock: {call: "handlers:stock"}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
        """,
        top="reclaim: {idle: 500ms}",
        defaults="defaults: {batch: {size: 100}, breaker: {first: 100ms, max: 500ms}}",
    )
    return project


@contextmanager
def running(project: Project, server: StreamServer, *options: str) -> Iterator[Popen[str]]:
    process = start("run", project.path, "--redis", server.url, *options, cwd=project.root)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_two_processes_one_of_them_killed_get_over_an_outage_without_a_dead_letter(
    project: Project, server: StreamServer
) -> None:
    with running(project, server) as killed, running(project, server, "--json") as left:
        paused = eventually(lambda: second_stage(project, server)["paused"])
        assert paused["why"] == WHY
        shown = rsq_pipe("status", project.path, "--redis", server.url, cwd=project.root).stdout
        assert f": {WHY}" in next(line for line in shown.splitlines() if line.startswith("stock paused for "))
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        (project.root / "down").unlink()
        out, err = left.communicate(timeout=PATIENCE)

    assert left.returncode == 0, err
    assert "paused: calls fail one after another" in err
    assert "goes on: calls work again" in err
    assert json.loads(out)["dead_letters"] == 0
    assert project.numbers("out/all.jsonl") == list(range(2_000))
    # Each process counts those of the first few records, where it gets fewer than five at first.
    assert sum(line["attempt"] > 1 for line in project.lines("out/all.jsonl")) < 10
    assert second_stage(project, server)["paused"] is None


def test_the_summary_of_a_run_that_is_stopped_during_a_pause_says_so(
    project: Project, server: StreamServer
) -> None:
    with running(project, server) as process:
        eventually(lambda: second_stage(project, server)["paused"])
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0, err
    line = next(line for line in err.splitlines() if line.startswith("stock paused since "))
    assert line.endswith(WHY)
