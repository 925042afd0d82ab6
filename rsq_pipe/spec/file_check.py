"""FileCheck: mistakes in the files that sources read and sinks write, all stages taken together."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from contextlib import suppress
from fnmatch import fnmatch
from glob import has_magic
from pathlib import Path

from rsq_pipe.connectors.files.matching import TooManyError, matching, meant_file
from rsq_pipe.spec.document import Document
from rsq_pipe.spec.graph import ConnectorRef
from rsq_pipe.spec.protected import reads_beside, resolved, why_protected
from rsq_pipe.spec.root import paths_start
from rsq_pipe.spec.verbs import ParsedStage


def report_written_files(
    document: Document, stages: Collection[ParsedStage], *, spec: Path, root: Path
) -> None:
    """Report a file that two sinks write, that a source reads, or that is one of the pipeline's own."""
    writers: dict[str, str] = {}
    patterns = _patterns(stages, root)
    for stage in stages:
        for path in _paths(stage) if stage.verb == "sink" else ():
            where = (*stage.path, "sink", "path")
            file, spelt = Path(os.path.realpath(root / path)), Path(os.path.normpath(root / path))
            first = writers.setdefault(str(file), stage.name)
            if first != stage.name:
                what = f"stage {stage.name!r} writes the file that stage {first!r} writes: {path}"
                fix = "give it a separate file, or let one sink read both: `from: [one, other]`"
                document.report(where, what, fix)
            if wrong := _wrong_target(stage, path, spec, root):
                document.report(where, *wrong)
            readers = [name for name, one, real in patterns if _matches(spelt, one) or _matches(file, real)]
            readers += [other.name for other in stages if reads_beside(other.options, root, file)]
            for reader in readers:
                what = f"stage {stage.name!r} writes a file that stage {reader!r} reads: {path}"
                document.report(where, what, "write it somewhere else")


def report_missing_files(document: Document, stage: ParsedStage, root: Path) -> None:
    """Warn of missing files; not an error, as they may appear before the run."""
    _report_missing_database(document, stage, root)
    if stage.verb != "source" or not isinstance(stage.options, ConnectorRef):
        return
    paths = getattr(stage.options.options, "path", ())
    if isinstance(paths, str):  # a webhook's path, not a list of file patterns
        return
    for pattern in paths:
        if pattern == "-":
            continue
        where = (*stage.path, "source", "path")
        try:
            found = next(matching(root, pattern), None)
        except TooManyError as exc:
            document.report(where, str(exc), "name the folder the files are in")
            continue
        if found is None:
            what = f"no file matches {pattern!r}" if has_magic(pattern) else f"there is no file {pattern!r}"
            path = root / pattern
            fix = (
                _variable(pattern)
                or meant_file(path.parent, path.name)
                or paths_start(root, Path(document.file), pattern)
            )
            document.report(where, what, fix, severity="warning")


def _report_missing_database(document: Document, stage: ParsedStage, root: Path) -> None:
    """Warn of a sink whose table can be in no file yet, and is not created."""
    options = getattr(stage.options, "options", None)
    path = getattr(options, "path", None)
    if stage.verb != "sink" or getattr(options, "create", True) or not isinstance(path, str):
        return
    if not (root / path).exists():
        what = f"there is no file {path!r}, so it has no table to write to"
        document.report((*stage.path, "sink"), what, "make them, or set `create: true`", severity="warning")


def _wrong_target(stage: ParsedStage, path: str, spec: Path, root: Path) -> tuple[str, str] | None:
    """Return why a sink cannot write this file, and what to do; None if it can."""
    if why := why_protected(root / path, spec=spec, root=root):
        return f"stage {stage.name!r} would overwrite {path}: {why}", "write it somewhere else"
    if fix := _variable(path):
        return f"{path!r} is a template of another tool", fix
    if found := _PLACEHOLDER.search(path):
        what = f"the name of a file does not depend on its records or on the time: {found[0]} stays as it is"
        return what, (
            "name one file; `rotate: {every: 1d}` writes it in parts, numbered by age, and "
            "docs/guide/file-per-day.md splits these by a field"
        )
    if path.startswith("~/"):
        return f"{path!r} would be in a folder named `~`", "write the whole path"
    if what := _is_folder(stage, path, root):
        ending = stage.options.type if isinstance(stage.options, ConnectorRef) else "jsonl"
        return what, f"name a file in it: {os.path.normpath(path)}/{stage.name}.{ending}"
    return None


_TEMPLATE = re.compile(r"\{\{.*?\}\}")
_PLACEHOLDER = re.compile(r"\{[A-Za-z_][^{}/]*\}|%[YmdHj]")


def _variable(path: str) -> str:
    """Return how to write a variable, for a path that has a template of another tool."""
    found = _TEMPLATE.search(path)
    if not found:
        return ""
    names = re.findall(r"[A-Za-z_]\w*", found[0]) or ("NAME",)
    return f"write ${{{names[-1]}}} for a variable"


def _is_folder(stage: ParsedStage, path: str, root: Path) -> str:
    """Return why a sink's path is no file's name; empty if it is one. Parts are next to a folder so named."""
    if path.rpartition("/")[2] in {"", ".", ".."}:
        return f"{path!r} names a folder, and stage {stage.name!r} writes a file"
    in_parts = getattr(getattr(stage.options, "options", None), "rotate", None) is not None
    with suppress(OSError):  # the run reports a missing permission or an invalid name
        if not in_parts and (root / path).is_dir():
            return f"{path!r} is a folder, and stage {stage.name!r} writes a file"
    return ""


def _patterns(stages: Collection[ParsedStage], root: Path) -> list[tuple[str, Path, Path]]:
    """List each source's patterns, as written and with links resolved."""
    return [
        (source.name, Path(os.path.normpath(root / pattern)), resolved(root, pattern))
        for source in stages
        if source.verb == "source"
        for pattern in _paths(source)
    ]


def _matches(file: Path, pattern: Path) -> bool:
    """Return whether a pattern would match a file if it existed: `*` stays in its folder, `**` does not."""
    return _matching(file.parts, pattern.parts)


def _matching(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern or not parts:
        return pattern in (parts, ("**",))
    if pattern[0] == "**":
        return _matching(parts, pattern[1:]) or _matching(parts[1:], pattern)
    here = parts[0] == pattern[0] or fnmatch(parts[0], pattern[0])
    return here and _matching(parts[1:], pattern[1:])


def _paths(stage: ParsedStage) -> tuple[str, ...]:
    """List the files named by a file connector."""
    paths = getattr(getattr(stage.options, "options", None), "path", ())
    return (paths,) if isinstance(paths, str) else tuple(path for path in paths if path != "-")
