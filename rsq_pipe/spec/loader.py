"""Loader: turns a pipeline file into its graph, or into a list of all its mistakes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.errors import HandlerNotFoundError, SpecSyntaxError, SpecValidationError
from rsq_pipe.spec.document import Document, Place
from rsq_pipe.spec.endless import report_endless
from rsq_pipe.spec.field_check import report_unknown_fields
from rsq_pipe.spec.file_check import report_missing_files, report_written_files
from rsq_pipe.spec.fusing import report_apart
from rsq_pipe.spec.graph import ConnectorRef, Graph, HandlerRef
from rsq_pipe.spec.handlers import check_function, check_handler, function_of
from rsq_pipe.spec.idle_settings import report_idle_settings
from rsq_pipe.spec.models import Pipeline
from rsq_pipe.spec.object_check import report_objects
from rsq_pipe.spec.problem import Problem
from rsq_pipe.spec.reading import read_document
from rsq_pipe.spec.resolution import resolve
from rsq_pipe.spec.root import handler_root, project_root
from rsq_pipe.spec.silent_handlers import report_silent_handlers
from rsq_pipe.spec.stages.lookup import Lookup
from rsq_pipe.spec.stages.record_check import RecordCheck, completed
from rsq_pipe.spec.stages.sql import QueryFields, SqlQuery, check_query
from rsq_pipe.spec.stages.table_file import check_table
from rsq_pipe.spec.validation import describe, validate
from rsq_pipe.spec.verbs import ParsedStage, parse_stage
from rsq_pipe.spec.wiring import report_unread, wire

_OF_ONE_STAGE = {
    f"{place}{key}": "a stage, which says it itself"
    for place in ("", "defaults.")
    for key in ("rate", "burst")
}
MAX_STAGES = 300  # each is a consumer group with its own connections


class Checked(Struct, frozen=True):
    """
    Hold the result of a check.

    Args:
        graph: The graph; None if there are errors.
        problems: Errors and warnings, in order of place.
        named_at: The place of the pipeline's name; None if there are errors.
    """

    graph: Graph | None
    problems: tuple[Problem, ...]
    named_at: Place | None = None


def load(
    path: Path,
    *,
    environ: Mapping[str, str] = os.environ,
    root: Path | None = None,
    check_fields: bool = False,
    operate: bool = False,
    connect: bool = True,
    stage_secrets: bool = True,
) -> Graph:
    """
    Read a pipeline file.

    Args:
        path: The file.
        environ: The environment for `${VAR}`.
        root: The project root; None to find it from the file.
        check_fields: Whether to warn of fields that no record can have, using CSV files, too. Not for
            operators' commands: files may have changed since the run, and its dead letters must stay
            reachable.
        operate: Whether the pipeline is only operated, not run: then handlers are not imported, and tables,
            schemas, packages and secrets of its stages may be missing.
        connect: Whether the servers and services it names are contacted, as tests do not: if not, only
            secrets of handlers need to be set.
        stage_secrets: Whether secrets of stages need to be set; without them it can be compared, not run.

    Raises:
        SpecSyntaxError: The file cannot be read, or is not YAML.
        SpecValidationError: All other mistakes, at once.
    """
    document = read_document(path, environ, operate=operate, connect=connect, stage_secrets=stage_secrets)
    return _graph_of(_check(document, path, root, check_fields=check_fields))


def load_former(text: str, graph: Graph) -> Graph:
    """
    Read what a pipeline's file once held, only to operate what that pipeline left.

    Args:
        text: The file's content at the time.
        graph: The pipeline as its file is now.

    Raises:
        SpecSyntaxError, SpecValidationError: It cannot be read any more.
    """
    document = read_document(graph.path, os.environ, operate=True, connect=False, text=text)
    return _graph_of(_check(document, graph.path, graph.root, check_fields=False))


def _graph_of(checked: Checked) -> Graph:
    if checked.graph is None:
        raise SpecValidationError([problem for problem in checked.problems if problem.severity == "error"])
    return checked.graph


def check(
    path: Path,
    *,
    environ: Mapping[str, str] = os.environ,
    root: Path | None = None,
    secrets: bool = True,
) -> Checked:
    """
    Read a pipeline file, and return its mistakes and warnings rather than raise them.

    Args:
        path: The file.
        environ: The environment for `${VAR}`.
        root: The project root; None to find it from the file.
        secrets: Whether the secrets that it names have to be set.
    """
    try:
        document = read_document(path, environ, connect=secrets, call=secrets)
        return _check(document, path, root, check_fields=True)
    except SpecSyntaxError as exc:
        return Checked(None, (exc.problem,))


def _check(document: Document, path: Path, root: Path | None, *, check_fields: bool) -> Checked:
    root = (root or project_root(path)).resolve()
    value = document.value
    if not isinstance(value, dict):
        document.report(
            (), f"a pipeline file holds a mapping, not {describe(value)}", "start with `version: 1`"
        )
        return Checked(None, tuple(document.problems))
    pipeline = validate(document, Pipeline, value, (), elsewhere=_OF_ONE_STAGE)
    parsed = {
        name: _at_home(document, stage, path, root)
        for name, stage in _parsed(document, value.get("stages")).items()
    }
    wiring = wire(document, str(value.get("pipeline")), parsed)
    queries: dict[str, QueryFields] = {}
    for name, stage in () if document.operate else parsed.items():
        _check_handler(document, stage, root)
        report_missing_files(document, stage, root)
        if isinstance(stage.options, SqlQuery):
            fields = check_query(document, stage.options, (*stage.path, "sql"), root=root)
            queries |= {name: fields} if fields else {}
    report_written_files(document, parsed.values(), spec=path, root=root)
    if document.failed(()) or pipeline is None:
        return Checked(None, tuple(document.problems))
    report_unread(document, parsed, wiring)
    graph = resolve(document, pipeline, parsed, wiring, path=path, root=root)
    report_apart(document, graph)
    report_objects(document, graph)
    if check_fields:
        before = frozenset(document.problems)
        written = report_unknown_fields(document, graph, queries)
        report_silent_handlers(document, graph)
        report_idle_settings(document, graph)
        warnings = tuple(one for one in document.problems if one not in before)
        graph = replace(graph, warnings=warnings, written=written)
        report_endless(document, graph)
    named_at = document.values[("pipeline",)]
    return Checked(None if document.failed(()) else graph, tuple(document.problems), named_at)


def _parsed(document: Document, stages: Any) -> dict[str, ParsedStage]:
    if not isinstance(stages, dict):
        return {}  # reported with the other settings of the pipeline
    if not stages:
        document.report(("stages",), "the pipeline has no stages", "begin with a `source`")
    if len(stages) > MAX_STAGES:
        document.report(
            ("stages",), f"the pipeline has more than {MAX_STAGES} stages", "make it several pipelines"
        )
        return {}
    return {name: parse_stage(document, name, value) for name, value in stages.items()}


def _at_home(document: Document, stage: ParsedStage, path: Path, root: Path) -> ParsedStage:
    """Note the folder of handlers next to the pipeline file; read the files named by `validate`."""
    if isinstance(stage.options, RecordCheck):
        check = completed(document, stage.options, (*stage.path, "validate"), spec=path, root=root)
        return replace(stage, options=check)
    if isinstance(stage.options, Lookup) and not document.operate:
        check_table(document, stage.options, (*stage.path, "lookup"), root=root)
    if isinstance(stage.options, ConnectorRef) and (named := function_of(stage.options)):
        return replace(stage, options=replace(stage.options, home=handler_root(named.module, path, root)))
    if not isinstance(stage.options, HandlerRef):
        return stage
    home = handler_root(stage.options.module, path, root)
    return stage if home == root else replace(stage, options=replace(stage.options, root=home))


def _check_handler(document: Document, stage: ParsedStage, root: Path) -> None:
    options, path = stage.options, (*stage.path, "call")
    try:
        if isinstance(options, ConnectorRef) and (handler := function_of(options)):
            path = (*stage.path, options.kind, "call")
            printed = check_function(options, handler, options.home or root)
        elif isinstance(options, HandlerRef):
            handler = options
            printed = check_handler(handler, handler.root or root)
        else:
            return
    except HandlerNotFoundError as exc:
        what = "handler" if isinstance(options, HandlerRef) else "function"
        problem = exc.in_stage(stage.name, f"call its {what}")
        document.report(path, problem.what, problem.fix)
        return
    if printed:
        what = f"module {handler.module!r} prints when it is imported: {printed.strip()[:40]!r}"
        document.report(path, what, "print in the handler, or log", severity="warning")
