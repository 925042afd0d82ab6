"""What an exception says, in the words in which messages and dead letters quote it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import rsq_pipe
from rsq_pipe.error_text import full_text, one_line

PACKAGE = Path(rsq_pipe.__file__).parent


class SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no number"), "ValueError: no number"),
        (SilentError(), "SilentError: (its message cannot be shown)"),
        ("a reason", "a reason"),
    ],
)
def test_an_error_is_told_with_its_type(error: BaseException | str, words: str) -> None:
    assert full_text(error) == words


@pytest.mark.parametrize(
    ("error", "words"), [(OSError("no\n  route"), "no route"), (TimeoutError(), "TimeoutError")]
)
def test_what_an_error_says_is_one_line_and_never_nothing(error: BaseException, words: str) -> None:
    assert one_line(error) == words


def test_no_other_file_spells_an_error_with_its_type() -> None:
    """`f"{type(exc).__name__}: {exc}"`: where the message of a user's class raises, so would this."""
    spelling = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.JoinedStr) and _is_spelt(node)
    ]

    assert set(spelling) == {"error_text.py"}


def _is_spelt(text: ast.JoinedStr) -> bool:
    parts = [ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else "" for part in text.values]
    return any(f"type({part}).__name__" in parts for part in parts)
