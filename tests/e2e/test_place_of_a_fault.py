"""A fault of a running stage names the place in the pipeline file that it is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer

READ = "read: {source: {type: jsonl, path: in.jsonl}}"


@pytest.fixture
def project(name: str, tmp_path: Path) -> Project:
    project = Project(tmp_path / "project", name)
    project.records(range(4))
    return project


@pytest.mark.parametrize("more", [(), ("--processes", "2")], ids=" ".join)
@pytest.mark.parametrize(
    ("stage", "path"),
    [
        ('out: {sink: {type: sqlite, path: "in.jsonl/orders.db", table: t, create: true}}', "out.sink"),
        ('out: {sink: {type: jsonl, path: "in.jsonl/out.jsonl"}}', "out.sink"),
        ("add: {map: {m: missing}, on_error: stop}\nout: {sink: {type: jsonl, path: out.jsonl}}", "add.map"),
    ],
    ids=["sqlite", "jsonl", "map"],
)
def test_a_stage_that_cannot_go_on_is_named_with_its_line(
    project: Project, server: StreamServer, stage: str, path: str, more: tuple[str, ...]
) -> None:
    project.spec(f"{READ}\n{stage}", defaults="")

    done = rsq_pipe("run", project.path, "--redis", server.url, *more, cwd=project.root)

    assert done.returncode == 1
    name, verb = path.split(".")
    text = project.path.read_text().splitlines()
    (line,) = (number for number, words in enumerate(text, 1) if words.strip().startswith(f"{name}: "))
    column = text[line - 1].index(f"{verb}: ") + 1
    assert f"\n  at {project.path}:{line}:{column}: stages.{path}\n" in done.stderr


def test_a_source_without_its_file_is_named_with_its_line(project: Project, server: StreamServer) -> None:
    project.spec(READ.replace("in.jsonl", "no.jsonl") + "\nout: {sink: {type: stdout}}", defaults="")

    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 2
    said = done.stderr.splitlines()
    told = "stages.read.source: stage 'read': no file matches 'no.jsonl'"
    assert any(line.startswith(f"{project.path}:6:10: {told}") for line in said), said
