"""Root: the folders from which a pipeline's relative paths and handlers are found."""

from __future__ import annotations

import os
import stat
from pathlib import Path

# Not .rsq: a run leaves one at whatever root it chose, which would then decide for all files below.
MARKERS = ("pyproject.toml", ".git")


def project_root(spec: Path) -> Path:
    """
    Find a pipeline file's project root, from which its handlers are imported.

    A marker owned by another user does not count, nor one in a world-writable folder: its creator would
    choose whose code is run.

    Returns:
        The nearest folder above the file that holds a marker; else the current folder if it holds the
        file, directly or further down; else the file's own folder.
    """
    spec = spec.resolve()
    marked = _marked(spec)
    if marked is not None:
        return marked
    here = Path.cwd()
    return here if spec.is_relative_to(here) and not _is_shared(here.stat()) else spec.parent


def paths_start(root: Path, spec: Path, path: str) -> str:
    """Say where relative paths start, and what to do about a missing one that is beside the pipeline file."""
    here, beside = f"paths start at {root.name}/", spec.resolve().parent
    if beside == root or not (beside / path).exists():
        return here
    # A marker above decides, wherever it is run from.
    fix = f"write {(beside / path).relative_to(root)}" if _is_above(root, spec) else "run it from there"
    return f"{here}, and it is in {beside.name}/: {fix}, or put a pyproject.toml there"


def _is_above(root: Path, spec: Path) -> bool:
    return _marked(spec.resolve()) == root


def _marked(spec: Path) -> Path | None:
    """Find the nearest folder above a file that holds a marker."""
    return next(
        (
            folder
            for folder in spec.parents
            if _is_ours(folder) and any(_is_ours(folder / marker) for marker in MARKERS)
        ),
        None,
    )


def _is_ours(path: Path) -> bool:
    """Return whether the caller or root owns a file or folder, and it is not world-writable."""
    try:
        found = path.lstat()  # a link belongs to its creator, wherever it leads
    except OSError:
        return False
    return found.st_uid in (os.geteuid(), 0) and not _is_shared(found)


def _is_shared(found: os.stat_result) -> bool:
    return stat.S_ISDIR(found.st_mode) and bool(found.st_mode & stat.S_IWOTH)


def handler_root(module: str, spec: Path, root: Path) -> Path:
    """
    Find the folder a handler's module is imported from.

    Returns:
        The project root; the pipeline file's own folder if the module is next to the file and not under the
        root.
    """
    top, beside = module.partition(".")[0], spec.resolve().parent
    return root if not _holds(beside, top) or _holds(root, top) else beside


def _holds(folder: Path, module: str) -> bool:
    return (folder / f"{module}.py").is_file() or (folder / module).is_dir()
