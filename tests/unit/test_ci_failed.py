"""Which failed tests CI tries once more by themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci/failed"
SLOW = "tests/e2e/test_dev.py::test_it[valkey-left by a dead worker]"
LOST = "tests/chaos/test_chaos.py::test_nothing_is_lost[redis]"


def failed(folder: Path, **parts: list[str] | None) -> tuple[int, list[str]]:
    for name, tests in parts.items():
        cache = folder / name / "v/cache"
        cache.mkdir(parents=True)
        if tests is not None:
            (cache / "lastfailed").write_text(json.dumps(dict.fromkeys(tests, True)))
    command: list[str | Path] = [sys.executable, SCRIPT, *(folder / name for name in parts)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout.splitlines()


def test_a_few_tests_of_several_parts_are_tried_once_more(tmp_path: Path) -> None:
    assert failed(tmp_path, one=[SLOW], other=["tests/unit/test_x.py::test_y"]) == (
        0,
        [SLOW, "tests/unit/test_x.py::test_y"],
    )


@pytest.mark.parametrize(
    "tests",
    [None, [], ["tests/unit/test_x.py"], [SLOW, LOST], [f"tests/e2e/test_x.py::test_{n}" for n in range(4)]],
    ids=["no test", "none failed", "a file that cannot be imported", "a guarantee", "many"],
)
def test_a_part_that_failed_for_anything_else_has_failed(tmp_path: Path, tests: list[str] | None) -> None:
    assert failed(tmp_path, whole=["tests/e2e/test_x.py::test_z"], part=tests)[0] == 1
