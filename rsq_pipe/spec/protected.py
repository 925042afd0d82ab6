"""Protected: a pipeline's own files, which its sinks must not write by any name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from glob import has_magic
from importlib.machinery import all_suffixes
from pathlib import Path

from rsq_pipe.connectors.files.matching import TooManyError, matching
from rsq_pipe.errors import SinkError
from rsq_pipe.handlers.project import imported_files
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.stages.lookup import FileRef, Lookup
from rsq_pipe.spec.stages.record_check import SchemaCheck


def why_protected(file: Path, *, spec: Path, root: Path) -> str:
    """
    Return why a sink must not write a file; empty if it may.

    Args:
        file: The file to be written, with links resolved.
        spec: The pipeline file.
        root: The project root.
    """
    real = Path(os.path.realpath(file))
    if _is_same(real, spec):
        return "this is the pipeline file"
    if _is_within(real, Path(os.path.realpath(root)), ".rsq"):
        return "the embedded server keeps its data in .rsq"
    if real.suffix.lower() in all_suffixes() or any(_is_same(real, module) for module in imported_files()):
        return "this is Python code, where handlers are imported from"
    return ""


def check_target(graph: Graph, stage: Stage) -> None:
    """
    Check the file a sink is about to open: links may have been made since the pipeline file was checked.

    Raises:
        SinkError: It is a file that the pipeline reads, or one of its own.
    """
    for path in _paths(stage):
        file = graph.root / path
        why = why_protected(file, spec=graph.path, root=graph.root)
        why = why or next((f"stage {name!r} reads it" for name in _readers(graph, file)), "")
        if why:
            raise SinkError(f"stage {stage.name!r}: file {path}: {why}; write to another", stage=stage.name)


def why_taken(graph: Graph, file: Path) -> str:
    """Return why a run must not write a file in addition to its sinks' files; empty if it may."""
    why = why_protected(file, spec=graph.path, root=graph.root)
    why = why or next((f"stage {name!r} reads it" for name in _readers(graph, file)), "")
    writers = [stage for stage in graph.stages if stage.verb == "sink"]
    return why or next(
        (
            f"stage {stage.name!r} writes it"
            for stage in writers
            for path in _paths(stage)
            if _is_same(graph.root / path, file)
        ),
        "",
    )


def resolved(root: Path, pattern: str) -> Path:
    """Follow the links in the part of a pattern that has no wildcard."""
    path = Path(os.path.normpath(root / pattern))
    top = root if path.is_relative_to(root) else Path(path.anchor)  # literal, with any characters
    fixed = next(folder for folder in (path, *path.parents) if not has_magic(str(folder.relative_to(top))))
    return Path(os.path.realpath(fixed)) / path.relative_to(fixed)


def read_beside(options: object) -> tuple[str, ...]:
    """List the files that a stage reads in addition to its records: a schema, a table."""
    match options:
        case SchemaCheck(path=path) | Lookup(table=FileRef(path=path)):
            return (path,)
    return ()


def reads_beside(options: object, root: Path, file: Path) -> bool:
    """Return whether a stage reads a file in addition to its records."""
    return any(_is_same(root / path, file) for path in read_beside(options))


def _readers(graph: Graph, file: Path) -> Iterator[str]:
    """Name the stages that read a file, and the sources whose patterns would match it once it exists."""
    real = Path(os.path.realpath(file))
    for stage in graph.stages:
        if reads_beside(stage.options, graph.root, real):
            yield stage.name
        if stage.verb == "source" and any(_finds(graph.root, pattern, real) for pattern in _paths(stage)):
            yield stage.name


def _finds(root: Path, pattern: str, file: Path) -> bool:
    folders, _, name = os.path.normpath(pattern).rpartition("/")
    above = [folders or "."]
    if name == "**":
        name, above = "*", [folders or ".", pattern]
    elif folders == "**" or folders.endswith("/**"):
        above = [folders.removesuffix("**") or ".", folders]
    named = fnmatchcase(file.name, name) and (name.startswith(".") or not file.name.startswith("."))
    try:
        if named and any(_is_same(folder, file.parent) for one in above for folder in matching(root, one)):
            return True
        # Under another name: a link, or a different case on a case-insensitive file system.
        return file.exists() and any(_is_same(found, file) for found in matching(root, pattern))
    except TooManyError:  # the source itself reports that
        return False


def _paths(stage: Stage) -> tuple[str, ...]:
    paths = getattr(getattr(stage.options, "options", None), "path", ())
    return (paths,) if isinstance(paths, str) else tuple(paths)


def _is_within(file: Path, root: Path, name: str) -> bool:
    """Return whether a file is in a folder of the root, or is the folder itself, ignoring case."""
    parts = file.relative_to(root).parts if file.is_relative_to(root) else ()
    if parts and parts[0].casefold() == name:
        return True
    return any(_is_same(folder, root / name) for folder in (file, *file.parents))


def _is_same(one: Path, other: Path) -> bool:
    """Return whether two names lead to one file, including by hard or symbolic links."""
    try:
        return one == other or one.samefile(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)
