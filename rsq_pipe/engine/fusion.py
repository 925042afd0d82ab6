"""Fusion: which stages run in the worker of the stage above them, without a stream in between."""

from __future__ import annotations

from collections.abc import Collection

from rsq_pipe.spec.fusing import is_pure, obstacle, runs_user_code
from rsq_pipe.spec.graph import Graph, Stage


def joined(graph: Graph, stage: Stage, names: Collection[str], *, of_source: bool) -> dict[str, Stage]:
    """
    Find the stages that run in a worker of the stage above them.

    A stage joins if it reads nothing but one port of the stage above, and nobody else reads that. Pure ones
    do so by themselves, `call` stages where `fuse: true` says so.

    Args:
        graph: The pipeline.
        stage: The stage above.
        names: The stages that run in this process; others are fed through their streams.
        of_source: Whether the chain begins with a source, which no `call` stage joins: a source cannot retry.

    Returns:
        Port -> the stage that reads it and joins.
    """
    found: dict[str, Stage] = {}
    for port, ref in stage.outputs.items():
        for reader in graph.readers(ref):
            willing = _may_join(reader, of_source=of_source)
            if reader.name in names and willing and not obstacle(graph, reader):
                found[port] = reader
    return found


def fused(graph: Graph, names: Collection[str] | None = None) -> dict[str, str]:
    """Name the stages that run in another's worker: stage -> the stage above it."""
    chosen = {stage.name for stage in graph.stages} if names is None else names
    found: dict[str, str] = {}
    for stage in graph.stages:
        # In topological order: whoever the stage above runs with is known by now.
        if stage.name in chosen:
            of_source = _root(graph, stage, found).verb == "source"
            below = joined(graph, stage, chosen, of_source=of_source)
            found |= {reader.name: stage.name for reader in below.values()}
    return found


def _root(graph: Graph, stage: Stage, found: dict[str, str]) -> Stage:
    name = stage.name
    while name in found:
        name = found[name]
    return graph.stage(name)


def _may_join(stage: Stage, *, of_source: bool) -> bool:
    if stage.fuse is False:
        return False
    return is_pure(stage) or (runs_user_code(stage) and stage.fuse is True and not of_source)
