"""Silent handlers: finds those that drop every record, and those that `concurrency` does nothing for."""

from __future__ import annotations

import dis
import functools
from collections.abc import Callable
from typing import Any

from rsq_pipe.errors import HandlerNotFoundError
from rsq_pipe.handlers.handler import describe
from rsq_pipe.handlers.named import named
from rsq_pipe.spec.document import Document
from rsq_pipe.spec.graph import Graph, HandlerRef, Stage


def report_silent_handlers(document: Document, graph: Graph) -> None:
    """Warn of handlers without a `return` where other stages read what they return, and of idle settings."""
    for stage in graph.stages:
        options = stage.options
        if stage.verb != "call" or not isinstance(options, HandlerRef):
            continue
        try:
            function = named(options.module, options.function, options.root or graph.root)
        except HandlerNotFoundError:
            continue  # reported before
        _report_concurrency(document, stage, function)
        if stage.outputs and returns_nothing(function):
            what = f"{options.text!r} has no `return`, or returns only None, so it drops every record"
            fix = "return the record, or say `to: none` if nothing is to follow"
            document.report(("stages", stage.name, "call"), what, fix, severity="warning")


def _report_concurrency(document: Document, stage: Stage, function: Any) -> None:
    """Warn of a `concurrency` that the stage has for a handler that is not async, or takes batches."""
    if stage.concurrency == 1 or "concurrency" not in document.value["stages"][stage.name]:
        return
    handler = describe(function)
    if handler.batch:
        what, fix = "takes whole batches, one call at a time", "leave it out, or call it for each record"
    elif not handler.is_async:
        what = "is no `async def`, so its calls come one after another"
        fix = f"write `workers: {stage.concurrency}`, or make it `async def`"
    else:
        return
    path = ("stages", stage.name, "concurrency")
    document.report(path, f"it does nothing here: the handler {what}", fix, severity="warning")


def returns_nothing(function: Callable[..., Any]) -> bool:
    """
    Return whether every way out of a function is a None, as without a `return`; False where that is unknown.

    A function that always raises is none of those: it may be one that is not written yet.
    """
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    ends, last = 0, None
    for step in dis.get_instructions(code):
        if step.opname in {"RETURN_CONST", "RETURN_VALUE"}:
            ends += 1
            of = step if step.opname == "RETURN_CONST" else last
            if of is None or of.opname not in {"LOAD_CONST", "RETURN_CONST"} or of.argval is not None:
                return False
        last = step
    return ends > 0
