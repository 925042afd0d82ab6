"""Silent handlers: finds handlers that drop every record, because they return nothing."""

from __future__ import annotations

from rsq_pipe.errors import HandlerNotFoundError
from rsq_pipe.handlers.named import named
from rsq_pipe.handlers.returns import returns_nothing
from rsq_pipe.spec.document import Document
from rsq_pipe.spec.graph import Graph, HandlerRef


def report_silent_handlers(document: Document, graph: Graph) -> None:
    """Warn of handlers without a `return`, where other stages read what they return."""
    for stage in graph.stages:
        options = stage.options
        if stage.verb != "call" or not isinstance(options, HandlerRef) or not stage.outputs:
            continue
        try:
            function = named(options.module, options.function, options.root or graph.root)
        except HandlerNotFoundError:
            continue  # reported before
        if returns_nothing(function):
            what = f"{options.text!r} has no `return`, or returns only None, so it drops every record"
            fix = "return the record, or say `to: none` if nothing is to follow"
            document.report(("stages", stage.name, "call"), what, fix, severity="warning")
