"""The numbered examples do what their READMEs say: each one's commands are run as they stand there."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.example import UNTRACKED, tracked
from tests.support.ports import free_port
from tests.support.signals import PATIENCE

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(ROOT.glob("examples/[0-9][0-9]-*"))
STDOUT = "stdout.txt"

pytestmark = pytest.mark.docs


def commands(folder: Path) -> str | None:
    """Find the first `sh` block of a README; None where it has none."""
    found = re.search(r"^```sh\n(.*?)^```", (folder / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    return found[1] if found else None


RUN_HERE = [folder.name for folder in FOLDERS if (folder / "README.md").exists() and commands(folder)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the repository's pipelines and examples, and nothing they wrote before."""
    ignored = shutil.ignore_patterns(*UNTRACKED)
    for name in ("pipelines", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


def shell(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run commands as a user of this environment would, with no server but the embedded one."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("RSQ_", "OTEL_"))}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    environ["RATES_PORT"] = str(free_port())
    process = subprocess.Popen(
        ["sh", "-u", "-c", script],
        cwd=cwd,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        # What the script left in the background goes with it, also where it hung.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.parametrize("name", RUN_HERE)
def test_the_readmes_commands_write_what_is_expected(project: Path, name: str) -> None:
    example = project / "examples" / name
    before = tracked(project)

    done = shell(commands(example) or "", project)

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    expected = {path.name: path for path in (example / "expected").iterdir()}
    if printed := expected.pop(STDOUT, None):
        assert done.stdout == printed.read_text()
    out = project / "out" / name
    found = {path.name for path in out.iterdir()} if out.exists() else set()
    assert found == set(expected)
    for file, path in expected.items():
        # The order of records is not a promise where a stage reads two streams, or tries again.
        assert sorted((out / file).read_text().splitlines()) == sorted(path.read_text().splitlines())
    assert tracked(project) == before, "an example leaves a clean repository clean"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_example_has_commands_and_says_what_comes_of_them(folder: Path) -> None:
    assert re.search(r"^```(sh|console)\n", (folder / "README.md").read_text(), re.MULTILINE)
    assert list((folder / "expected").iterdir())


def test_examples_are_numbered_and_listed() -> None:
    listed = re.findall(r"\]\(([0-9]{2}-[a-z-]+)/README\.md\)", (ROOT / "examples/README.md").read_text())

    assert listed == [folder.name for folder in FOLDERS]
    assert [name[:2] for name in listed] == [f"{number:02d}" for number in range(1, len(listed) + 1)]
