"""Idle settings: finds those of a stage that do nothing for its verb, or for its connector."""

from __future__ import annotations

from collections.abc import Iterator

from rsq_pipe.spec.document import Document
from rsq_pipe.spec.fusing import runs_user_code, sends
from rsq_pipe.spec.graph import ConnectorRef, Graph, Stage

_LEAVE = "leave it out"


def report_idle_settings(document: Document, graph: Graph) -> None:
    """Warn of settings that a stage itself has for nothing; under `defaults` they are meant for others."""
    for stage in graph.stages:
        own = document.value["stages"][stage.name]
        for setting, why, fix in _idle(stage):
            if setting in own:
                path = ("stages", stage.name, setting)
                document.report(path, f"it does nothing here: {why}", fix, severity="warning")


def _idle(stage: Stage) -> Iterator[tuple[str, str, str]]:
    """Yield the settings that do nothing for a stage: the setting, why, and what to write instead."""
    ref = stage.options if isinstance(stage.options, ConnectorRef) else None
    own = type(ref.options).model_fields if ref is not None else {}
    if stage.verb != "call":  # what a handler does with it is checked when its function is known
        inside = f"write it into `{stage.verb}`" if "concurrency" in own else _LEAVE
        yield "concurrency", "it is for the calls of an async handler", inside
    if stage.verb == "source":
        yield from _idle_of_source(stage)
    if ref is not None and not sends(stage):
        yield from _idle_of_connector(ref)
    if ref is None and not runs_user_code(stage):
        yield "breaker", "the stage makes no calls", _LEAVE
        if stage.verb != "sql":
            yield "timeout", "the stage makes no calls", _LEAVE


def _idle_of_source(stage: Stage) -> Iterator[tuple[str, str, str]]:
    yield "retry", "a source tries no record again", _LEAVE
    if stage.on_error != "dlq":
        stop = "write `on_error: {dlq: {max: 0%, then: stop}}` to end the run at these"
        drop = "leave it out, and delete them by `rsq-pipe dlq purge`"
        why = "what a source cannot read becomes a dead letter"
        yield "on_error", why, stop if stage.on_error == "stop" else drop


def _idle_of_connector(ref: ConnectorRef) -> Iterator[tuple[str, str, str]]:
    """Yield what does nothing for a source, and for a sink that does not work like a `call`."""
    name = f"the {ref.kind} {ref.type}"
    own = type(ref.options).model_fields
    writers = "write `writers` into `sink`, and run `--processes`"
    yield "workers", f"{name} has one worker in each process", writers if "writers" in own else _LEAVE
    yield "breaker", f"{name} waits by itself until what it talks to answers", _LEAVE
    if "timeout" in own:
        yield "timeout", f"{name} has its own `timeout`", f"write it into `{ref.kind}`"
    else:
        yield "timeout", f"{name} makes no calls", _LEAVE
