"""The command that installs an extra is one that works where rsq-pipe is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import rsq_pipe

ROOT = Path(__file__).parents[2]
ASK = "from rsq_pipe.extras import install; print(install('sql'))"


def answer(folder: Path) -> str:
    """Ask the package in this folder."""
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {ASK}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def linked(folder: Path) -> Path:
    """Put the package into a folder."""
    folder.mkdir()
    (folder / "rsq_pipe").symlink_to(Path(rsq_pipe.__file__).parent, target_is_directory=True)
    return folder


def test_in_a_clone_it_is_the_target_that_installs_all_extras(tmp_path: Path) -> None:
    clone = linked(tmp_path / "my clone")
    (clone / "Makefile").touch()
    (clone / "pyproject.toml").touch()

    assert answer(clone) == f"make -C '{clone}' install"


def test_of_an_installed_package_it_is_pip(tmp_path: Path) -> None:
    assert answer(linked(tmp_path / "site-packages")) == "pip install 'rsq-pipe[sql]'"


def test_the_target_is_there() -> None:
    assert "\ninstall: " in (ROOT / "Makefile").read_text()
