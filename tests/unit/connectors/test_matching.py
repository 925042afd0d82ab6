"""Patterns name what a shell would, and are given up where they would read a whole machine."""

from __future__ import annotations

import glob
from pathlib import Path

import pytest

from rsq_pipe.connectors.files import matching as module
from rsq_pipe.connectors.files.matching import TooManyError, matching

FILES = (
    "a.csv",
    "b.csv",
    ".hidden.csv",
    "x/a.csv",
    "x/y/b.csv",
    "x/y/c.txt",
    ".h/d.csv",
    "[x]/e.csv",
    "z/ä.csv",
)
PATTERNS = (
    *(
        "*.csv",
        "?.csv",
        "[ab].csv",
        "[!a].csv",
        ".*.csv",
        "*/a.csv",
        "**/*.csv",
        "x/**/*.csv",
        "**/y/*",
        "x/**",
    ),
    *(
        "a.csv",
        "none.csv",
        "none/*.csv",
        "x/../a.csv",
        "*",
        "**",
        "[[]x]/*.csv",
        ".h/*",
        "**/.h/*",
        "a.csv/*",
    ),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "odd [root]*"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("absolute", [False, True])
def test_the_files_are_those_of_glob(root: Path, pattern: str, absolute: bool) -> None:
    expected = {root / name for name in glob.glob(pattern, root_dir=root, recursive=True)}  # noqa: PTH207
    if "/../" in pattern:
        expected = {root / "a.csv"}

    found = list(matching(root, str(root / pattern) if absolute else pattern))

    assert {path for path in found if path.is_file()} == {path for path in expected if path.is_file()}


def test_a_link_that_leads_round_in_a_circle_is_not_followed(root: Path) -> None:
    (root / "x" / "round").symlink_to(root)

    assert [path.name for path in matching(root, "**/c.txt")] == ["c.txt"]


def test_folders_deeper_than_python_recurses_are_searched(root: Path) -> None:
    deep = root
    for _ in range(900):
        deep /= "d"
    deep.mkdir(parents=True)
    (deep / "f").touch()

    assert len(list(matching(root, "**/f"))) == 1


def test_a_pattern_of_too_many_files_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 2)

    with pytest.raises(TooManyError, match=r"'\*\*/\*' matches more than 2 files"):
        list(matching(root, "**/*"))


def test_a_search_through_too_many_names_is_given_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SEEN", 5)

    with pytest.raises(TooManyError, match="after 5 names"):
        list(matching(root, "**/none"))
