"""A copy of the examples in a folder of its own, run as a user would run them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support import preloaded
from tests.support.preloaded import COMMAND
from tests.support.signals import TO_END

ROOT = Path(__file__).parents[2]
UNTRACKED = ("__pycache__", ".rsq", "out")
"""Folders that `.gitignore` names."""


def tracked(root: Path) -> dict[Path, bytes]:
    """Read all files of a project but those that no repository keeps."""
    return {
        path.relative_to(root): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not set(path.relative_to(root).parts) & set(UNTRACKED)
    }


class Example:
    """
    Hold a project folder with copies of `pipelines/` and `examples/`, and no server but the embedded one.

    Args:
        root: An empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("pipelines", "examples"):
            shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `rsq-pipe run ...` here to its end."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("RSQ_")}
        return preloaded.run([COMMAND, "run", *arguments], cwd=self.root, env=environ, timeout=TO_END)

    def outputs(self, folder: str) -> dict[str, bytes]:
        """Read all files below a folder, by name; hidden ones too, for none may be left there."""
        return {path.name: path.read_bytes() for path in sorted((self.root / folder).iterdir())}
