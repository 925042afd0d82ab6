"""Fusion: which stages run in the worker of the stage above them, without a stream in between."""

from __future__ import annotations

from collections.abc import Collection

from rsq_pipe.spec.fusing import has_state, is_pure, obstacle, runs_user_code
from rsq_pipe.spec.graph import Graph, Stage


def joined(graph: Graph, stage: Stage, names: Collection[str], *, computes_only: bool) -> dict[str, Stage]:
    """
    Find the stages that run in a worker of the stage above them.

    A stage joins if it reads only one port of the stage above, and is the only reader of that port. Pure
    stages join by default, `call` stages only with `fuse: true`.

    Args:
        graph: The pipeline.
        stage: The stage above.
        names: The stages that run in this process; others get their records through streams.
        computes_only: Whether no `call` stage may join the chain, because of the stage it begins with.

    Returns:
        Port -> the stage that reads it and joins.
    """
    found: dict[str, Stage] = {}
    for port, ref in stage.outputs.items():
        for reader in graph.readers(ref):
            willing = _may_join(reader, computes_only=computes_only)
            if reader.name in names and willing and not obstacle(graph, reader):
                found[port] = reader
    return found


def only_computes(first: Stage) -> bool:
    """
    Return whether a chain that begins with this stage has no `call` stages.

    A source cannot retry a record; a stage with state processes its batch again if the state has changed.
    """
    return first.verb == "source" or has_state(first)


def fused(graph: Graph, names: Collection[str] | None = None) -> dict[str, str]:
    """Name the stages that run in another stage's worker: stage -> the stage above it."""
    chosen = {stage.name for stage in graph.stages} if names is None else names
    found: dict[str, str] = {}
    for stage in graph.stages:
        # In topological order: it is already known in which worker the stage above runs.
        if stage.name in chosen:
            computes_only = only_computes(_root(graph, stage, found))
            below = joined(graph, stage, chosen, computes_only=computes_only)
            found |= {reader.name: stage.name for reader in below.values()}
    return found


def _root(graph: Graph, stage: Stage, found: dict[str, str]) -> Stage:
    name = stage.name
    while name in found:
        name = found[name]
    return graph.stage(name)


def _may_join(stage: Stage, *, computes_only: bool) -> bool:
    if stage.fuse is False:
        return False
    return is_pure(stage) or (runs_user_code(stage) and stage.fuse is True and not computes_only)
