"""The project root: what marks it, and whose mark counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rsq_pipe.spec.root import paths_start, project_root

SOMEBODY = 54_321


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A file two folders down, seen from a folder that does not hold it."""
    folder = tmp_path / "shared" / "mine"
    folder.mkdir(parents=True)
    return folder / "pipeline.yaml"


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file somebody else's: only root can, so anybody else becomes somebody else."""
    if os.geteuid() == 0:
        os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY)


@pytest.mark.parametrize("marker", ["pyproject.toml", ".git"])
def test_the_root_is_the_nearest_folder_above_with_a_marker(tmp_path: Path, spec: Path, marker: str) -> None:
    (tmp_path / marker).mkdir()

    assert project_root(spec) == tmp_path


@pytest.mark.parametrize("marker", ["pyproject.toml", ".git"])
def test_a_marker_of_somebody_else_does_not_count(
    spec: Path, marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = spec.parent.parent / marker
    mark.touch()
    give_away(mark, monkeypatch)

    assert project_root(spec) == spec.parent


def test_a_link_of_somebody_else_to_a_marker_does_not_count(
    tmp_path: Path, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").touch()
    mark = spec.parent.parent / ".git"
    mark.symlink_to(tmp_path / "real")
    give_away(mark, monkeypatch)

    assert project_root(spec) == spec.parent


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_folder_that_everybody_can_write_is_no_root_for_files_below(
    spec: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = spec.parent.parent
    (shared / ".git").mkdir()
    shared.chmod(mode)
    monkeypatch.chdir(shared)

    assert project_root(spec) == spec.parent


def test_what_a_run_left_behind_is_no_marker(tmp_path: Path, spec: Path) -> None:
    (tmp_path / ".rsq" / "data").mkdir(parents=True)

    assert project_root(spec) == spec.parent


def test_without_a_marker_the_root_is_the_current_folder_or_the_files_own(
    tmp_path: Path, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert project_root(spec) == tmp_path

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert project_root(spec) == spec.parent


def test_below_a_marker_it_is_said_how_to_write_the_path(tmp_path: Path, spec: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    (spec.parent / "in.csv").touch()

    assert paths_start(tmp_path, spec, "in.csv") == (
        f"paths start at {tmp_path.name}/, and it is in mine/: "
        "write shared/mine/in.csv, or put a pyproject.toml there"
    )


def test_of_a_file_beside_the_pipeline_it_is_said_that_paths_start_elsewhere(spec: Path) -> None:
    (spec.parent / "in.csv").touch()
    above = spec.parent.parent

    assert paths_start(above, spec, "out.csv") == "paths start at shared/"
    assert paths_start(spec.parent, spec, "out.csv") == "paths start at mine/"
    assert paths_start(above, spec, "in.csv") == (
        "paths start at shared/, and it is in mine/: run it from there, or put a pyproject.toml there"
    )
