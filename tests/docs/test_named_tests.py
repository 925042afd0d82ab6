"""A promise that names its test names one that exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OUR_FILES = r"`((?:tests|rsq_pipe|benchmarks|pipelines|examples|docs)/[\w./-]*)`"

pytestmark = pytest.mark.docs


def documents() -> list[Path]:
    return sorted([ROOT / "README.md", ROOT / "SECURITY.md", *ROOT.glob("docs/**/*.md")])


@cache
def existing() -> set[str]:
    """List the names of all tests there are."""
    trees = [ast.parse(path.read_text()) for path in ROOT.glob("tests/**/test_*.py")]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, functions)}


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_that_are_named_exist(document: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", document.read_text()))

    assert named - existing() == set()


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(document: Path) -> None:
    named = set(re.findall(OUR_FILES, document.read_text()))

    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_delivery_guide_names_a_test_for_every_promise() -> None:
    guide = (ROOT / "docs/guide/delivery.md").read_text()
    promises = [line for line in guide.splitlines() if line.startswith("| ") and "promise" not in line]

    assert promises
    assert [line for line in promises if "`test_" not in line] == []
