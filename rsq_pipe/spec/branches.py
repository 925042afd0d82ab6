"""Branches: where branches of one record may meet again, and the names that distinguish them."""

from __future__ import annotations

from itertools import combinations

from rsq_pipe.spec.graph import Graph, Stage, StreamRef

_Hop = tuple[StreamRef, str]
"""A stream, and a stage that reads it; becoming a dead letter is another hop."""


def branches(graph: Graph, stage: Stage) -> dict[StreamRef, str]:
    """
    Name the branches of one record that meet at a stage.

    A record branches only where several stages read one stream: a stage emits it through one port, or makes
    children of it; only a dead letter comes again, when it is replayed. So two inputs hold the same record
    only if some stream above both is read by different stages on the way to each. If several stages publish
    to one stream, their records meet there; each branch is then named after the stage that publishes.

    Returns:
        Input -> the name added to the ids of records that come by it; inputs that need none are left out.
    """
    names: dict[StreamRef, str] = {}
    for one, other in combinations(stage.inputs, 2):
        if _may_share(_hops(graph, one) | {(one, stage.name)}, _hops(graph, other) | {(other, stage.name)}):
            names |= {one: one.name, other: other.name}
    if _publishes_beside_others(graph, stage):
        names = {ref: f"{names.get(ref, ref.name)}@{stage.name}" for ref in stage.inputs}
    return names


def _publishes_beside_others(graph: Graph, stage: Stage) -> bool:
    return any(
        _may_share(_hops_into(graph, stage, stage.name), _hops_into(graph, other, other.name))
        for ref in stage.outputs.values()
        for other in graph.stages
        if ref.external and other.name != stage.name and ref in other.outputs.values()
    )


def _may_share(some: set[_Hop], others: set[_Hop]) -> bool:
    readers: dict[StreamRef, set[str]] = {}
    for stream, reader in others:
        readers.setdefault(stream, set()).add(reader)
    return any(readers.get(stream, set()) - {reader} for stream, reader in some)


def _hops(graph: Graph, ref: StreamRef) -> set[_Hop]:
    """List the hops by which records reach a stream."""
    return {hop for writer, way in _writers(graph, ref) for hop in _hops_into(graph, writer, way)}


def _hops_into(graph: Graph, stage: Stage, way: str) -> set[_Hop]:
    found: set[_Hop] = set()
    waiting = [(stage, way)]
    while waiting:
        reader, name = waiting.pop()
        for ref in reader.inputs:
            if (ref, name) not in found:
                found.add((ref, name))
                waiting += _writers(graph, ref)
    return found


def _writers(graph: Graph, ref: StreamRef) -> list[tuple[Stage, str]]:
    """List the stages that write a stream, with their names as readers on the way to it."""
    writers = [(stage, stage.name) for stage in graph.stages if ref in stage.outputs.values()]
    # A dead letter may be replayed after others have read it: then the record takes both branches.
    return writers + [(stage, stage.dlq.name) for stage in graph.stages if ref == stage.dlq]
