"""Completion in a real shell: commands, options, and the stages of a file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.command_line import COMMAND, rsq_pipe
from tests.support.project import Project

SPEC = "read: {source: {type: jsonl, path: in.jsonl}}\nroute: {filter: 'n > 1'}\nsave: {sink: {type: stdout}}"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project", "orders")
    project.spec(SPEC)
    return project


def completed(project: Project, *words: str) -> list[str]:
    """Ask bash what Tab would offer for the last of these words."""
    script = (
        'eval "$(rsq-pipe completion bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1));'
        '_rsq_pipe_completion rsq-pipe; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environ = {**os.environ, "PATH": f"{COMMAND.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script, "bash", "rsq-pipe", *words],
        cwd=project.root,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_are_completed(project: Project) -> None:
    assert sorted(completed(project, "st")) == ["state", "status"]


def test_options_are_completed(project: Project) -> None:
    assert completed(project, "status", "--max-") == ["--max-lag", "--max-oldest", "--max-dlq"]


def test_stages_are_completed_from_the_file(project: Project) -> None:
    assert completed(project, "status", "pipeline.yaml", "--stage", "r") == ["read", "route"]


def test_a_file_that_is_no_pipeline_completes_nothing_and_says_nothing(project: Project) -> None:
    project.path.write_text("stages: [")

    assert completed(project, "status", "pipeline.yaml", "--stage", "") == []


def test_a_command_that_does_not_exist_prints_nothing_between_the_users_keys(project: Project) -> None:
    completed(project, "no-such-command", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(project: Project, shell: str) -> None:
    done = rsq_pipe("completion", shell, cwd=project.root)

    assert done.returncode == 0
    assert f"_RSQ_PIPE_COMPLETE={shell}_complete" in done.stdout


def test_connectors_are_completed(project: Project) -> None:
    assert completed(project, "connectors", "postgr") == ["postgres", "postgres_cdc"]
