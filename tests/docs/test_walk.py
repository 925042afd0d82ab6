"""The README and some guides, walked word for word: files written, commands run, output compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.example import Example

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
FIRST = ROOT / "docs/guide/first-pipeline.md"
TESTING = ROOT / "docs/guide/testing.md"
TRANSFORMS = ROOT / "docs/guide/transforms.md"

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
A_COMMAND = 20.0
"""Seconds for a command of ours: a document of fourteen may take longer than any other test."""

FILE_NAME = re.compile(r".*`([\w.]+\.(?:yaml|py))`", re.DOTALL)

# What differs from run to run: times, entry ids, how long it took, and records a second.
CHANGING = [
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"\d{13}-\d+"), "ID"),
    (re.compile(r"done in [\d.]+s"), "done in TIME"),
    (re.compile(r"passed in [\d.]+s"), "passed in TIME"),
    (re.compile(r"^(\w+(?: \(fused\))?(?: [\d,]+){5}) [\d,]+$"), r"\1 RATE"),
]

pytestmark = pytest.mark.docs


def walk(document: Path) -> tuple[str, list[str]]:
    """Turn a document into a script that does what it asks for, and the lines it shows of what is printed."""
    text = document.read_text()
    script: list[str] = []
    shown: list[str] = []
    for found in BLOCK.finditer(text):
        kind, content = found.groups()
        if kind == "sh":
            script.append(content)
        elif kind in {"yaml", "python"}:
            name = FILE_NAME.match(text[: found.start()])
            assert name, f"a block of {document.name} does not say which file it is"
            script.append(f"cat > {name[1]} <<'END OF FILE'\n{content}END OF FILE\n")
        elif script and not kind:  # what is shown before the first command is of another run
            shown += content.splitlines()
    return "".join(script), shown


def steady(line: str) -> str:
    """Take out of a line what differs from run to run."""
    line = " ".join(line.split())
    for pattern, word in CHANGING:
        line = pattern.sub(word, line)
    return line


def patience(document: Path) -> float:
    """Seconds that a document's commands may take together."""
    return A_COMMAND * (1 + walk(document)[0].count("rsq-pipe "))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(document, id=document.name, marks=pytest.mark.timeout(patience(document) + 20))
        for document in (README, FIRST, TESTING, TRANSFORMS)
    ],
)
def test_what_the_document_shows_is_printed_in_its_order(document: Path, tmp_path: Path) -> None:
    script, shown = walk(document)
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("RSQ_", "OTEL_"))}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    environ["COLUMNS"] = "160"

    done = subprocess.run(
        ["sh", "-u", "-c", script],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=patience(document),
        check=False,
    )

    assert shown
    printed = iter([steady(line) for line in done.stdout.splitlines()])
    missing = next((line for line in shown if steady(line) not in printed), None)
    assert missing is None, f"not printed, or not there: {missing}\n{done.stdout}"


def test_the_run_in_the_readme_is_the_one_of_the_orders(tmp_path: Path) -> None:
    (first,) = re.findall(r"\$ make run.*?\n(.*?)```", README.read_text(), re.DOTALL)

    done = Example(tmp_path).run("pipelines/orders.yaml")

    command, *table = first.splitlines()
    assert command == ".venv/bin/rsq-pipe run pipelines/orders.yaml"
    assert [steady(line) for line in table] == [steady(line) for line in done.stderr.splitlines()]


def test_the_readme_stays_short() -> None:
    assert len(README.read_text().splitlines()) <= 160
