"""The embedded server is killed in the middle of a run, together with what would start it again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.command_line import start
from tests.support.project import Project
from tests.support.signals import PATIENCE, eventually


def test_a_run_whose_server_cannot_be_started_again_ends_and_names_the_data(
    tmp_path: Path, name: str
) -> None:
    project = Project(tmp_path / "project", name)
    project.spec("""
        read: {source: {type: generate, rate: 100/s, fields: {n: "n"}}}
        out: {sink: {type: jsonl, path: out.jsonl}}
    """)
    home = project.root / ".rsq"
    with start("run", project.path, "--drain-timeout", "1s", cwd=project.root) as process:
        eventually(lambda: project.lines_so_far("out.jsonl"), what="records that came through")
        (manifest,) = (home / "data/appendonlydir").glob("*.manifest")
        manifest.write_text("not a manifest\n")
        for pid in (home / "keeper.lock", home / "server.pid"):
            os.kill(int(pid.read_text()), signal.SIGKILL)
        _, log = process.communicate(timeout=90)

    assert process.returncode == 3, log
    assert "cannot be started again, after 5 tries" in log
    assert f"Its data is in {home / 'data'}: repair it" in log


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_run_starts_its_killed_server_again_and_loses_and_doubles_nothing(
    tmp_path: Path, name: str, processes: str
) -> None:
    project = Project(tmp_path / "project", name)
    project.spec("""
        read: {source: {type: generate, count: 2000, rate: 400/s, fields: {n: "n"}}}
        out: {sink: {type: jsonl, path: out.jsonl}}
    """)
    home = project.root / ".rsq"
    with start("run", project.path, "--processes", processes, cwd=project.root) as process:
        eventually(lambda: project.lines_so_far("out.jsonl"), what="records that came through")
        for pid in (home / "keeper.lock", home / "server.pid"):
            os.kill(int(pid.read_text()), signal.SIGKILL)
        _, log = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0, log
    assert "the watchdog of the embedded server was killed; another one takes its place" in log
    assert len(project.numbers()) == len(set(project.numbers())) == 2000
