"""User code type-checks, and a type checker finds users' mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

FOLDER = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("file", ["user_handlers.py", "user_mistakes.py"])
def test_mypy_agrees_with_what_the_file_says(file: str) -> None:
    report, broken, _ = api.run(
        ["--strict", "--warn-unused-ignores", "--no-error-summary", str(FOLDER / file)]
    )

    assert broken == ""
    assert [line for line in report.splitlines() if file in line and ": note: " not in line] == []
