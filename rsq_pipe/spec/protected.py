"""Protected: the files of a pipeline's own that none of its sinks may write, whatever name leads there."""

from __future__ import annotations

import os
from importlib.machinery import all_suffixes
from pathlib import Path

from rsq_pipe.errors import SinkError
from rsq_pipe.sources.matching import TooManyError, matching
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.stages.project import imported_files


def why_protected(file: Path, *, spec: Path, root: Path) -> str:
    """
    Say why a sink may not write a file; empty if it may.

    Args:
        file: What the sink would write, links followed as the system does.
        spec: The pipeline file.
        root: The project root.
    """
    real = Path(os.path.realpath(file))
    if _is_same(real, spec):
        return "this is the pipeline file"
    if real.is_relative_to(os.path.realpath(root / ".rsq")):
        return "the embedded server keeps its data in .rsq"
    if real.suffix in all_suffixes() or any(_is_same(real, module) for module in imported_files()):
        return "this is Python code, where handlers are imported from"
    return ""


def check_target(graph: Graph, stage: Stage) -> None:
    """
    Check the file a sink is about to open: since the pipeline file was checked, links may have been made.

    Raises:
        SinkError: It is one that the pipeline reads, or one of its own.
    """
    for path in _paths(stage):
        file = graph.root / path
        why = why_protected(file, spec=graph.path, root=graph.root)
        readers = [source for source in graph.stages if source.verb == "source"]
        why = why or next((f"stage {one.name!r} reads it" for one in readers if _reads(one, file, graph)), "")
        if why:
            raise SinkError(f"stage {stage.name!r}: file {path}: {why}; write to another", stage=stage.name)


def _reads(source: Stage, file: Path, graph: Graph) -> bool:
    """Tell whether a file is one that a source's patterns name."""
    if not file.exists():  # as a name it was compared when the pipeline file was checked
        return False
    try:
        return any(
            _is_same(found, file) for pattern in _paths(source) for found in matching(graph.root, pattern)
        )
    except TooManyError:  # the source itself says so
        return False


def _paths(stage: Stage) -> tuple[str, ...]:
    paths = getattr(getattr(stage.options, "options", None), "path", ())
    return (paths,) if isinstance(paths, str) else tuple(paths)


def _is_same(one: Path, other: Path) -> bool:
    """Tell whether two names lead to one file, hard links and links included."""
    try:
        return one == other or one.samefile(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)
