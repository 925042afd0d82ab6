"""Fusing: what keeps a stage from running in the worker of the stage above."""

from __future__ import annotations

from rsq_pipe.connectors.table import connector
from rsq_pipe.spec.document import Document
from rsq_pipe.spec.graph import ConnectorRef, Graph, Stage
from rsq_pipe.spec.stages.lookup import Lookup
from rsq_pipe.spec.stages.record_check import ModelCheck

PURE = frozenset(
    ("map", "filter", "route", "select", "explode", "sample", "validate", "lookup", "sql", "pass")
)

STATEFUL = frozenset(("dedupe", "join", "aggregate"))


def has_state(stage: Stage) -> bool:
    """Return whether a stage has state: it reads its own stream, and each batch at once."""
    return stage.verb in STATEFUL


def closes(stage: Stage) -> bool:
    """Return whether a stage emits its state, as time passes or when all input has ended."""
    return stage.verb in {"aggregate", "join"}


def is_pure(stage: Stage) -> bool:
    """Return whether a stage only computes, without user code: it joins the stage above by default."""
    return stage.verb in PURE and not isinstance(stage.options, ModelCheck) and not asks_server(stage)


def runs_user_code(stage: Stage) -> bool:
    """
    Return whether a stage runs user code, or may wait for a server like user code.

    It joins the stage above only if `fuse: true` is set.
    """
    return stage.verb == "call" or isinstance(stage.options, ModelCheck) or asks_server(stage)


def asks_server(stage: Stage) -> bool:
    """Return whether a stage looks something up on a server, which may be slow or unavailable."""
    return isinstance(stage.options, Lookup) and stage.options.asks_server


def sends(stage: Stage) -> bool:
    """Return whether a sink's target takes several writers at once; an ordinary worker runs such a sink."""
    return (
        stage.verb == "sink"
        and isinstance(stage.options, ConnectorRef)
        and connector("sink", stage.options.type).sender is not None
    )


def obstacle(graph: Graph, stage: Stage) -> str:
    """
    Return what keeps a stage from joining the one above it, whatever its `fuse` says.

    A stage can join if it reads only one port of one stage, and no other stage reads or writes that port.

    Returns:
        The reason; empty if there is none.
    """
    if stage.verb in {"source", "sink"}:
        return f"a {stage.verb} always has its own worker"
    if stage.rate is not None:
        return "it has its own `rate`"
    if has_state(stage):
        return f"{stage.verb!r} has state, and its own worker"
    if len(stage.inputs) != 1:
        return "it has several inputs"
    (ref,) = stage.inputs
    if ref.external:
        return f"it reads the stream {ref.name!r}, which others may read and write"
    others = [reader.name for reader in graph.readers(ref) if reader is not stage]
    if others:
        return f"stage {others[0]!r} reads {ref.name!r}, too"
    writers = [writer for writer in graph.stages if ref in writer.outputs.values()]
    if not writers:
        return f"it reads the dead letters of stage {ref.name.removesuffix(':dlq')!r}"
    return "" if len(writers) == 1 else f"several stages write {ref.name!r}"


def report_apart(document: Document, graph: Graph) -> None:
    """Warn of stages with `fuse: true` that cannot fuse; under `defaults` it only applies where possible."""
    for stage in graph.stages:
        own = document.value["stages"][stage.name]
        if own.get("fuse") is not True:
            continue
        why = obstacle(graph, stage)
        if not why and runs_user_code(stage) and (head := _head(graph, stage)):
            what = "`call` stage" if stage.verb == "call" else "stage with a model"
            what = "lookup in a server" if asks_server(stage) else what
            why = f"a {what} never joins {head}"
        if why:
            what = f"stage {stage.name!r} cannot run in the worker of a stage above: {why}"
            document.report(("stages", stage.name, "fuse"), what, "remove `fuse`", severity="warning")


def _head(graph: Graph, stage: Stage) -> str:
    """Return why a stage with user code cannot join the head of its chain; empty if it can."""
    above = _above(graph, stage)
    while above.verb != "source":
        if has_state(above):
            return f"{above.verb!r}, whose batch is processed again where its state has changed"
        # A `call` cannot be part of a source's chain.
        if not is_pure(above) or above.fuse is False or obstacle(graph, above):
            return ""
        above = _above(graph, above)
    return "a source, which cannot try a record again"


def _above(graph: Graph, stage: Stage) -> Stage:
    (ref,) = stage.inputs
    return next(writer for writer in graph.stages if ref in writer.outputs.values())
