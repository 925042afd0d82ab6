"""A sink's file is harmed while several processes run the pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command_line import rsq_pipe, start
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import TO_END, eventually

COUNT = 1_000


def moved(path: Path) -> None:
    path.rename(path.with_name("moved.jsonl"))


def emptied(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize(
    ("harm", "why"), [(moved, "it was moved away"), (emptied, "is not the file this pipeline wrote")]
)
def test_no_other_process_goes_on_in_a_file_that_was_harmed_before_the_run_has_ended(
    project: Project, server: StreamServer, harm: Callable[[Path], None], why: str
) -> None:
    project.records(range(COUNT))
    project.handlers("""
        import time

        def slow(record, ctx):
            if (ctx.root / "slow").exists():
                time.sleep(0.04)  # so that a batch, and with it the end of a process, takes two seconds
            return record
    """)
    project.spec("""
        read: {source: {type: jsonl, path: in.jsonl}}
        slow: {call: "handlers:slow"}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
    """)
    path = project.root / "out/all.jsonl"
    (project.root / "slow").touch()

    command = ["run", str(project.path), "--redis", server.url, "--processes", "2"]
    with start(*command, cwd=project.root) as run:
        try:
            eventually(lambda: len(project.lines_so_far()) >= 100, what="the file is being written")
            harm(path)
            _, told = run.communicate(timeout=TO_END)
        finally:
            run.kill()

    assert run.returncode == 1, told
    assert why in told
    assert "a new one begins" not in told
    assert not path.exists() or path.stat().st_size == 0
    if harm is moved:
        (project.root / "slow").unlink()
        path.with_name("moved.jsonl").rename(path)
        again = rsq_pipe(*command, cwd=project.root)
        assert again.returncode == 0, again.stderr
        assert project.numbers("out/all.jsonl") == list(range(COUNT))
