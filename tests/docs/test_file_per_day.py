"""The guide to one file per day: its program puts each record into one file, however often it is run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer

GUIDE = (Path(__file__).parents[2] / "docs/guide/file-per-day.md").read_text()

pytestmark = pytest.mark.docs


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None
    return found[1]


def split(project: Project) -> None:
    parts = sorted(str(part.relative_to(project.root)) for part in project.root.glob("out/orders-*.jsonl"))
    command = [sys.executable, "split.py", "placed", "out/by-day", *parts]
    subprocess.run(command, cwd=project.root, check=True, timeout=60)


def by_day(project: Project) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for file in sorted(project.root.glob("out/by-day/placed=*/*.jsonl")):
        lines = file.read_bytes().splitlines()
        found.setdefault(file.parent.name, []).extend(msgspec.json.decode(line)["n"] for line in lines)
    return found


def test_each_record_is_in_a_file_of_its_day_once_though_the_program_is_killed_and_run_again(
    server: StreamServer, tmp_path: Path, name: str
) -> None:
    project = Project(tmp_path / "project", name)
    days = [f"2026-01-{day:02}" for day in range(1, 8)]
    for n in range(3_500):
        project.records([n], "orders.jsonl", placed=f"{days[n % 7]}T10:00:00Z")
    project.records([3_500], "orders.jsonl", placed="a/b")
    (project.root / "pipeline.yaml").write_text(block("yaml").replace("shop", project.pipeline))
    (project.root / "split.py").write_text(block("python"))

    run = rsq_pipe("run", "pipeline.yaml", "--redis", server.url, cwd=project.root)
    split(project)
    first = by_day(project)
    # Killed before it noted a part as done, and in the middle of a file.
    (project.root / "out/by-day/.done/orders-000002.jsonl").unlink()
    (project.root / "out/by-day/placed=2026-01-01/.orders-000002.jsonl").write_text('{"n":')
    split(project)

    assert run.returncode == 0, run.stderr
    assert len(list(project.root.glob("out/orders-*.jsonl"))) > 3
    assert by_day(project) == first
    assert {*first} == {f"placed={day}" for day in days} | {"placed=a%2Fb"}
    assert Counter(n for own in first.values() for n in own) == Counter(range(3_501))
    assert all(n % 7 == 0 for n in first["placed=2026-01-01"])
