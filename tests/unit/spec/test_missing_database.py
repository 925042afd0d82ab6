"""A table that no file can hold yet is warned of before the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.spec.loader import check
from tests.support.project import Project


def spec(project: Project, more: str = "") -> Path:
    return project.spec(f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        store: {{sink: {{type: sqlite, path: out/shop.sqlite, table: orders{more}}}}}
    """)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project", "shop")
    project.records([1])
    return project


def test_a_table_in_a_file_that_does_not_exist_is_warned_of(project: Project) -> None:
    (problem,) = check(spec(project)).problems

    assert problem.severity == "warning"
    assert problem.what == "there is no file 'out/shop.sqlite', so it has no table to write to"
    assert problem.fix == "make them, or set `create: true`"


def test_a_table_that_is_created_or_may_be_in_its_file_is_not_told_of(project: Project) -> None:
    assert check(spec(project, ", create: true")).problems == ()

    path = spec(project)
    (path.parent / "out").mkdir()
    (path.parent / "out" / "shop.sqlite").touch()
    assert check(path).problems == ()
