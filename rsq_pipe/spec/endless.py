"""Endless: finds stages that wait for the end of a source that never ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rsq_pipe.connectors.table import SOURCES
from rsq_pipe.spec.above import above, waits_for_end
from rsq_pipe.spec.document import Document
from rsq_pipe.spec.graph import ConnectorRef, Graph, Stage


class Endless(NamedTuple):
    """
    Describe a stage that waits for an event that never happens.

    Args:
        stage: The stage.
        what: The event, and why it does not happen.
        fix: What to do about it.
    """

    stage: Stage
    what: str
    fix: str


def report_endless(document: Document, graph: Graph) -> None:
    """Warn of stages that wait for an end that never comes."""
    for stage, what, fix in waiting_for_ever(graph):
        document.report(("stages", stage.name, stage.verb), what, fix, severity="warning")


def waiting_for_ever(graph: Graph) -> Iterator[Endless]:
    """Find stages whose results, or records without a partner, leave only at the end of an endless input."""
    for stage in graph.stages:
        if stage.verb not in {"aggregate", "join"}:
            continue
        found, why = _waits(graph, stage), endless_input(graph, stage)
        if found and why:
            what, fix = found
            yield Endless(stage, f"{what} when all input has ended, and {why}", fix)


def _waits(graph: Graph, stage: Stage) -> tuple[str, str] | None:
    """Return what happens only at the end of all input, and how to make it happen earlier."""
    options = stage.options
    if stage.verb == "join":
        fix = "say how long a record waits for its partner: `within: 1h`"
        return None if options.within is not None else ("what finds no partner leaves only", fix)
    if options.emit is not None or not waits_for_end(graph, stage):
        return None
    if options.windows is None:
        return "its results are made", "give it windows by `every` or `gap`, with `late: 0s`"
    return "its windows close", "say how much later than the latest a record may be: `late: 0s`"


def endless_input(graph: Graph, stage: Stage) -> str:
    """Return which input of a stage never ends; empty if all do, or if that is unknown."""
    stages = (*above(graph, stage), stage)
    for source in stages:
        if source.verb == "source" and (why := never_ends(source)):
            return f"the source {source.name!r} never ends ({why})"
    own = {ref for one in graph.stages for ref in one.outputs.values()}
    outside = (ref for one in stages for ref in one.inputs if ref.external and ref not in own)
    return next((f"the stream {ref.name!r} never ends: others write it" for ref in outside), "")


def never_ends(source: Stage) -> str:
    """Return why a source never ends; empty if it does, or if that is unknown."""
    ref = source.options
    if not isinstance(ref, ConnectorRef):
        return ""
    if ref.type in SOURCES and not SOURCES[ref.type].ends:
        return f"type {ref.type}"
    options = ref.options
    for name in ("follow", "watch"):
        if getattr(options, name, False):
            return f"{name}: true"
    if getattr(options, "every", None) not in {None, "once"}:
        return "it has `every`"
    for name, value in (("until", "never"), ("restart", "always")):
        if getattr(options, name, None) == value:
            return f"{name}: {value}"
    return "it has no `count`" if ref.type == "generate" and options.count is None else ""
