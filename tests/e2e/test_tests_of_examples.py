"""The tests that stand beside the pipelines and examples of this repository pass."""

from __future__ import annotations

from pathlib import Path

from tests.support.command_line import rsq_pipe

ROOT = Path(__file__).parents[2]


def test_all_tests_of_the_repository_pass() -> None:
    done = rsq_pipe("test", cwd=ROOT)

    assert done.returncode == 0, done.stdout + done.stderr
    files = [*ROOT.glob("pipelines/*_test.yaml"), *ROOT.glob("examples/*/*_test.yaml")]
    assert len(files) > 5
    assert [file for file in files if str(file.relative_to(ROOT)) not in done.stdout] == []
