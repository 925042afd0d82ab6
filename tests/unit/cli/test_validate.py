"""Which files `validate` looks at, and how long it looks for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from rsq_pipe.cli.validate import command
from rsq_pipe.connectors.files import matching

SPEC = """
version: 1
pipeline: p
stages:
  read: {source: {type: jsonl, path: '-'}}
  out: {sink: {type: stdout}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a/one.yaml", "a/b/two.yml", ".venv/no.yaml", "a/b/no.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SPEC)
    (tmp_path / "a" / "round").symlink_to("..")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def validated(*arguments: str) -> tuple[int, list[str]]:
    done = CliRunner().invoke(command, arguments)
    lines = [line.partition(": ") for line in done.stdout.splitlines()]
    return done.exit_code, [
        name if said.startswith("ok") else f"{name}: {said}"
        for name, _, said in lines
        if "warning: " not in said
    ]


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        (".", ["a/b/two.yml", "a/one.yaml"]),
        ("a", ["a/b/two.yml", "a/one.yaml"]),
        ("a/../a/b", ["a/b/two.yml"]),
        ("a/*.yaml", ["a/one.yaml"]),
        ("**/*.y*ml", ["a/b/two.yml", "a/one.yaml"]),
    ],
)
def test_folders_and_patterns_name_each_file_once(folder: Path, argument: str, found: list[str]) -> None:
    assert validated(argument) == (0, found)


def test_absolute_patterns_name_files_too(folder: Path) -> None:
    assert validated(f"{folder}/a/*.yaml") == (0, [f"{folder}/a/one.yaml"])


def test_a_folder_that_is_too_large_is_told_and_not_searched_to_its_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "MAX_SEEN", 3)

    code, (problem,) = validated(".")

    assert code == 2
    assert "after 3 names the search for it was given up" in problem
