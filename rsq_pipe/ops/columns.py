"""Columns: whether the tables of a pipeline's sinks and lookups have the columns that they need."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from rsq_pipe.connectors.table import connector
from rsq_pipe.ops.reach import AT_ONCE, begun
from rsq_pipe.spec.column_check import report_columns
from rsq_pipe.spec.graph import ConnectorRef, Graph, Stage
from rsq_pipe.spec.problem import Problem
from rsq_pipe.spec.reading import read_document
from rsq_pipe.spec.stages.lookup import Lookup, PostgresRef
from rsq_pipe.spec.stages.table_file import check_columns


def column_problems(graph: Graph, seconds: float, stages: Collection[str] = ()) -> Sequence[Problem]:
    """
    Compare the columns of tables with what the pipeline file says of them and with the fields of records.

    Nothing is reported for a table that cannot be read in time, or does not exist: others report that.

    Args:
        graph: The pipeline, loaded with `check_fields`.
        seconds: Maximum seconds for all of them together.
        stages: The stages to check; empty for all.
    """
    chosen = [one for one in graph.stages if not stages or one.name in stages]
    readers = {one.name: reader for one in chosen if (reader := _reader(graph, one)) is not None}
    if not readers:
        return []
    places = threading.Semaphore(AT_ONCE)
    begins = {name: begun(reader, seconds, places) for name, reader in readers.items()}
    until = time.monotonic() + seconds
    document = read_document(graph.path, None, operate=True, connect=False, text=graph.text)
    for name, answer in begins.items():
        try:
            found = answer.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            continue
        if found is None or isinstance(found, Exception):
            continue
        stage = graph.stage(name)
        if isinstance(stage.options, Lookup):
            path = ("stages", name, "lookup")
            check_columns(document, stage.options, path, found, "the query of its table gives no column")
        else:
            report_columns(document, stage, found, graph.written.get(name))
    return document.problems


def _reader(graph: Graph, stage: Stage) -> Callable[[float], Any] | None:
    """Return what reads the columns of a stage's table; None if it has none on a server or in a database."""
    if isinstance(stage.options, Lookup) and isinstance(table := stage.options.table, PostgresRef):
        from rsq_pipe.connectors.postgres.reach import query_columns  # noqa: PLC0415  an extra

        return lambda seconds: query_columns(table.dsn, table.query, seconds)
    if not isinstance(stage.options, ConnectorRef):
        return None
    ref = stage.options
    columns = connector(ref.kind, ref.type).columns
    if columns is None:
        return None
    return lambda seconds: columns(ref.options, root=graph.root, seconds=seconds)
