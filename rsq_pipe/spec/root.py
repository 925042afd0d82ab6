"""Root: the folders that a pipeline's relative paths and handlers are found from."""

from __future__ import annotations

from pathlib import Path

MARKERS = ("pyproject.toml", ".git", ".rsq")


def project_root(spec: Path) -> Path:
    """
    Find a pipeline file's project root.

    Returns:
        The nearest folder above the file that holds a marker; else the current folder if it holds the
        file, directly or further down; else the file's own folder.
    """
    spec = spec.resolve()
    for folder in spec.parents:
        if any((folder / marker).exists() for marker in MARKERS):
            return folder
    here = Path.cwd()
    return here if spec.is_relative_to(here) else spec.parent


def handler_root(module: str, spec: Path, root: Path) -> Path:
    """
    Find the folder a handler's module is imported from.

    Returns:
        The project root; the pipeline file's own folder where the module stands beside the file and not
        under the root.
    """
    top, beside = module.partition(".")[0], spec.resolve().parent
    return root if not _holds(beside, top) or _holds(root, top) else beside


def _holds(folder: Path, module: str) -> bool:
    return (folder / f"{module}.py").is_file() or (folder / module).is_dir()
