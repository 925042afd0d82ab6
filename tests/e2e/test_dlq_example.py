"""examples/03-dead-letters, word for word: what its README types gives what it prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.example import UNTRACKED, tracked
from tests.support.signals import TO_END

EXAMPLE = Path(__file__).parents[2] / "examples" / "03-dead-letters"
ANYTHING = "…"


def steps(document: Path) -> Iterator[tuple[str, str]]:
    """Yield each command of the console blocks, and what is printed after it."""
    for block in re.findall(r"^```console\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = step.partition("\n")
            yield command, printed


def pattern(printed: str) -> str:
    """Turn what a document shows into what must be printed; spaces of tables may differ."""
    words = [" *".join(map(re.escape, part.split())) for part in printed.split(ANYTHING)]
    return r"\s*" + ".*".join(words) + r"\s*"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns(*UNTRACKED)
    return Path(shutil.copytree(EXAMPLE, tmp_path / "example", ignore=ignored))


@pytest.mark.docs
def test_the_readme_gives_what_it_says(folder: Path) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("RSQ_")}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    before = tracked(folder)

    for command, printed in steps(folder / "README.md"):
        done = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=TO_END,
            check=False,
        )
        assert done.returncode in (0, 4), f"$ {command}\n{done.stderr}"
        shown = re.sub(r"[ \n]+", " ", done.stdout)
        assert re.fullmatch(pattern(printed), shown, re.DOTALL), f"$ {command}\n{done.stdout}"

    found = (folder / "out" / "invoices.jsonl").read_text().splitlines()
    assert sorted(found) == (folder / "expected" / "invoices.jsonl").read_text().splitlines()
    assert tracked(folder) == before, "an example leaves a clean repository clean"
