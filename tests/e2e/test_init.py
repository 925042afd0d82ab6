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


def test_a_file_in_a_linked_folder_is_named_as_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/people.csv").write_text("id,name\n1,ada\n")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/data").symlink_to(tmp_path / "elsewhere")
    assert rsq_pipe("init", "--from", "data/people.csv", cwd=tmp_path / "shop").returncode == 0

    done = rsq_pipe("run", "pipeline.yaml", cwd=tmp_path / "shop")

    assert done.returncode == 0, done.stderr
    assert "path: data/people.csv\n" in (tmp_path / "shop/pipeline.yaml").read_text()


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
