"""What the documents say of the way of a batch is what a batch does."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| (?:`(?P<file>[a-z_/]+\.py)`)? *\| `(?P<function>[^`]+)` \|", re.MULTILINE)


def documented() -> dict[str, set[str]]:
    """File -> the functions that the table in CONTRIBUTING.md names."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("## The way of a batch") :].partition("\n## How")[0]
    found: dict[str, set[str]] = defaultdict(set)
    file = ""
    for row in ROW.finditer(table):
        file = row["file"] or file
        found[file].add(row["function"])
    return found


def measured(folder: Path) -> dict[str, set[str]]:
    """File -> the functions that a batch crossed."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "benchmarks.way",
        "--quick",
        "--json",
        folder / "way.json",
    ]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True).stdout
    found: dict[str, set[str]] = defaultdict(set)
    file = ""
    for line in shown.splitlines():
        if line.endswith(".py"):
            file = line
        elif line.startswith("    ") and file:
            found[file].add(line.split()[0])
    return found


def test_a_batch_crosses_the_functions_that_the_documents_name_and_hardly_another(tmp_path: Path) -> None:
    named, found = documented(), measured(tmp_path)

    assert {file: names - found[file] for file, names in named.items() if names - found[file]} == {}
    # How often a stream fills up is a matter of the machine.
    others = {file: names - named[file] for file, names in found.items() if names - named[file]}
    assert sum(map(len, others.values())) <= 3, others
