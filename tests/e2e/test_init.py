"""From nothing to a result: a new project, run as it was written."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command_line import rsq_pipe


def test_a_new_project_runs_at_once(tmp_path: Path) -> None:
    assert rsq_pipe("init", "shop", cwd=tmp_path).returncode == 0

    done = rsq_pipe("run", "pipeline.yaml", cwd=tmp_path / "shop")

    assert done.returncode == 0, done.stderr
    large = (tmp_path / "shop/out/large.jsonl").read_text().splitlines()
    assert [json.loads(line)["total"] for line in large] == [1200.0, 1194.0]


def test_a_project_made_of_a_csv_file_runs_at_once(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("id,name,born\n1,ada,1815-12-10\n2,bob,\n")
    assert rsq_pipe("init", "--from", "people.csv", cwd=tmp_path).returncode == 0

    done = rsq_pipe("run", "pipeline.yaml", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "out/people.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": 1, "name": "ada", "born": "1815-12-10"},
        {"id": 2, "name": "bob", "born": None},
    ]
