"""Looking after a pipeline on a machine where it could not run: its handlers are broken, its tables gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    price: {call: "handlers:price"}
    name: {lookup: {table: names.csv, key: n, as: name}}
    out: {sink: {type: jsonl, path: out.jsonl}}
"""


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
def test_a_pipeline_whose_handlers_are_broken_and_whose_tables_are_gone_is_looked_after(
    tmp_path: Path, name: str, server: StreamServer
) -> None:
    project = Project(tmp_path / "project", name)
    project.records(range(3))
    project.spec(STAGES)
    project.handlers("def price(record):\n    raise ValueError('no price')\n")
    (project.root / "names.csv").write_text("n,name\n1,ada\n")
    spec, at = str(project.path), ("--redis", server.url)
    rsq_pipe("run", spec, *at, cwd=project.root)

    project.handlers("def price(:\n")
    (project.root / "names.csv").unlink()
    status = rsq_pipe("status", spec, *at, "--json", cwd=project.root)
    listed = rsq_pipe("dlq", "list", spec, *at, cwd=project.root)
    replayed = rsq_pipe("dlq", "replay", spec, "--yes", *at, cwd=project.root)
    paused = rsq_pipe("pause", spec, "price", *at, cwd=project.root)

    assert [stage["dead"] for stage in json.loads(status.stdout)["stages"]] == [0, 3, 0, 0]
    assert "the file has changed" not in status.stderr
    assert "ValueError: no price" in listed.stdout
    assert (replayed.returncode, paused.returncode) == (0, 0), replayed.stderr + paused.stderr
