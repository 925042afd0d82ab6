"""The Makefile installs with Python 3.11 or later only, and says so before it installs anything."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEEDED = ("Makefile", "pyproject.toml", "requirements/run.txt")


def clone(folder: Path) -> Path:
    """Put what `make run` reads first into a folder."""
    for name in NEEDED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def old_python(path: Path) -> Path:
    """Write a program that takes itself for Python 3.10, and notes beside it what else it is asked."""
    pretend = "import sys; sys.version_info = (3, 10, 13); exec(sys.argv[1])"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"""#!/bin/sh
if [ "$1" = -c ]; then exec {sys.executable} -c "{pretend}" "$2"; fi
echo "$@" >>{path}.asked
"""
    )
    path.chmod(0o755)
    return path


def make(folder: Path, *settings: str) -> str:
    """Run `make run`, which must fail, and return what it said."""
    done = subprocess.run(
        ["make", "--no-print-directory", "-C", folder, "run", *settings],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stdout
    return done.stderr.splitlines()[0]


def test_a_python_that_is_named_and_too_old_is_refused(tmp_path: Path) -> None:
    python = old_python(tmp_path / "python3.10")

    said = make(clone(tmp_path / "clone"), f"PYTHON={python}")

    assert said == (
        f"make: {python} is not Python 3.11 or later; name one that is: make PYTHON=/path/to/python3.11"
    )
    assert not Path(f"{python}.asked").exists()


def test_an_environment_of_a_python_that_is_too_old_is_refused(tmp_path: Path) -> None:
    python = old_python(clone(tmp_path) / ".venv/bin/python")

    said = make(tmp_path, f"PYTHON={sys.executable}")

    assert said == "make: .venv/bin/python is not Python 3.11 or later; remove .venv, and run make again"
    assert not Path(f"{python}.asked").exists()


def test_a_python_that_is_named_and_not_there_is_refused(tmp_path: Path) -> None:
    said = make(clone(tmp_path), "PYTHON=/no/python")

    assert (
        said
        == "make: /no/python is not Python 3.11 or later; name one that is: make PYTHON=/path/to/python3.11"
    )
