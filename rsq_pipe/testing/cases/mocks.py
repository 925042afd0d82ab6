"""Mocks: a test's replacements for systems outside the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from rsq_pipe.errors import ExpressionError, HandlerNotFoundError
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.handlers import check_handler, parse_handler
from rsq_pipe.spec.root import handler_root
from rsq_pipe.suggestion import suggest
from rsq_pipe.testing.cases.models import Test
from rsq_pipe.verbs.server_lookup import ServerLookup
from rsq_pipe.verbs.tables.keys import Key
from rsq_pipe.verbs.tables.remote_table import Answer

Rows = Mapping[str, Mapping[str, Any] | None]


def mocked(document: Document, graph: Graph, file: Path, test: Test, path: Path_) -> Graph:
    """
    Replace the pipeline's handlers with a test's; report mistakes in any of its mocks.

    Args:
        document: The test file.
        graph: The pipeline.
        file: The test file; handlers are found from its folder, too.
        test: The test.
        path: The path of its mocks.
    """
    mocks = test.mocks
    for kind, verb, named in (
        ("lookups", "lookup", mocks.lookups),
        ("calls", "call", mocks.calls),
        ("sinks", "sink", mocks.sinks),
    ):
        there = [stage.name for stage in graph.stages if stage.verb == verb]
        for name in named:
            if name not in there:
                what = f"pipeline {graph.pipeline!r} has no {verb} {name!r}"
                fix = suggest(name, there, otherwise="" if there else "remove it")
                document.report((*path, kind, name), what, fix, key=True)
    for name, mock in mocks.sinks.items():
        try:
            compile_expression(mock.refuse)
        except ExpressionError as exc:
            document.report((*path, "sinks", name, "refuse"), str(exc))
    stages: list[Stage] = []
    for stage in graph.stages:
        text = mocks.calls.get(stage.name) if stage.verb == "call" else None
        if text is None:
            stages.append(stage)
            continue
        handler = parse_handler(text)
        root = handler_root(handler.module, file, graph.root)
        try:
            check_handler(handler, root)
        except HandlerNotFoundError as exc:
            what = f"stage {stage.name!r} cannot call it: {exc.what}"
            document.report((*path, "calls", stage.name), what, exc.fix)
        stages.append(replace(stage, options=replace(handler, root=root)))
    return replace(graph, stages=tuple(stages))


def lookups(test: Test) -> Mapping[str, Rows]:
    """Return the rows of each lookup for which a test has rows."""
    return test.mocks.lookups


def looking_up(stage: Stage, rows: Rows) -> ServerLookup:
    """Create the verb of a lookup with a test's rows."""
    return ServerLookup(stage, _GivenRows(rows))


class _GivenRows:
    """Find rows in a test."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def fetch(self, keys: Sequence[Key], seconds: float) -> dict[Key, Answer]:  # noqa: ARG002  as all tables
        """Look up some keys."""
        found = {key: self._rows.get(_spelled(key)) for key in keys}
        return {key: dict(row) for key, row in found.items() if row is not None}

    async def close(self) -> None:
        """Do nothing."""


def _spelled(key: Key) -> str:
    return key if isinstance(key, str) else f"[{', '.join(key)}]"
