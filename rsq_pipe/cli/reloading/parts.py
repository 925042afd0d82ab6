"""Parts: which stages run in which process of `dev`, and which files they depend on."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rsq_pipe.handlers.project import imported_files
from rsq_pipe.spec.graph import Graph, HandlerRef, Stage
from rsq_pipe.spec.reading import read_document
from rsq_pipe.spec.stages.lookup import FileRef, Lookup
from rsq_pipe.spec.stages.record_check import ModelCheck

OTHERS = ""
"""The part of all stages that call no handler."""

_QUOTED = re.compile(r"'([^'\n]+)'")


def described(graph: Graph) -> dict[str, Any]:
    """
    Describe a pipeline whose handlers are imported, as JSON.

    Returns:
        `parts`: name -> its stages and the files whose change restarts it; `tables`: file -> the stages that
        look something up in it, and notice changes by themselves; and other data that `dev` needs.
    """
    parts: dict[str, list[Stage]] = {OTHERS: []}
    for stage in graph.stages:
        parts.setdefault(_module(stage), []).append(stage)
    named = {stage.name: set(_files_named(graph, stage.name)) for stage in graph.stages}
    tables = {stage.name: _table(graph, stage) for stage in graph.stages}
    return {
        "pipeline": graph.pipeline,
        "url": graph.redis_url,
        "root": str(graph.root),
        "drain": graph.drain_timeout,
        "parts": {
            name: {
                "stages": [stage.name for stage in stages],
                "files": sorted(
                    {str(file) for file in _code(name)}
                    | {str(file) for stage in stages for file in _code(_connector(stage))}
                    | {str(file) for stage in stages for file in named[stage.name] - {tables[stage.name]}}
                ),
            }
            for name, stages in parts.items()
            if stages
        },
        "tables": {
            str(file): [name for name, other in tables.items() if other == file]
            for file in tables.values()
            if file is not None
        },
    }


def _module(stage: Stage) -> str:
    """Name the file of a stage's code, if it is the user's."""
    options = stage.options
    if isinstance(options, HandlerRef):
        module = options.module
    elif isinstance(options, ModelCheck):
        module = options.model.module
    else:
        return OTHERS
    file = getattr(sys.modules.get(module), "__file__", None)
    return str(file) if file and Path(file) in imported_files() else f"module {module}"


def _connector(stage: Stage) -> str:
    """Name the file of a source's or sink's code, if it is the user's."""
    call = getattr(getattr(stage.options, "options", None), "call", None)
    module = call.partition(":")[0] if isinstance(call, str) else ""
    return str(getattr(sys.modules.get(module), "__file__", None) or "")


def _table(graph: Graph, stage: Stage) -> Path | None:
    table = stage.options.table if isinstance(stage.options, Lookup) else None
    return graph.root / table.path if isinstance(table, FileRef) else None


def _code(part: str) -> set[Path]:
    """Find a module's file and those it imports, if they are in the project."""
    own = imported_files()
    files = {name: Path(file) for name, file in _files_of_modules() if Path(file) in own}
    waiting, found = [Path(part)] if Path(part) in own else [], set()
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        module = next((name for name, other in files.items() if other == file), "")
        waiting += [files[name] for name in _imports(file, module) if name in files]
    return found


def _files_of_modules() -> list[tuple[str, str]]:
    modules = [(name, getattr(module, "__file__", None)) for name, module in list(sys.modules.items())]
    return [(name, file) for name, file in modules if file]


def _imports(file: Path, module: str) -> Iterator[str]:
    """Name the modules that a file imports, anywhere in it, and the packages that contain them."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # it was saved again after it was loaded: as a change, that is noticed and loaded next
    for node in ast.walk(tree):
        names: Sequence[str] = ()
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[: count + 1]) for count in range(len(parts)))


def _files_named(graph: Graph, stage: str) -> Iterator[Path]:
    """Find the files that a stage's settings name, except those it reads records from or writes them to."""
    settings = read_document(graph.path, None).value["stages"].get(stage, {})
    for text in _texts({key: value for key, value in settings.items() if key not in {"source", "sink"}}):
        for name in (text, *_QUOTED.findall(text)):
            file = graph.root / name
            if len(name) < 500 and "\0" not in name and _is_file(file):
                yield file


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # text that is not a file name
        return False


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
