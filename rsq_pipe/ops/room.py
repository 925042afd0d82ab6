"""Room: which stages wait for others, because a stream between them holds `max_backlog` records."""

from __future__ import annotations

from rsq_pipe.engine.fusion import fused
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.ops.to_do import to_do_of
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.snapshot import Snapshot


def awaited_readers(graph: Graph, shot: Snapshot) -> dict[str, tuple[str, ...]]:
    """
    Return, for each stage that has to wait, the stages whose input from it is full.

    Stages fused with it wait, too: they run in the same worker.
    """
    keys, above = Keyspace(graph.pipeline), fused(graph)
    writers = {ref.name: stage.name for stage in graph.stages for ref in stage.outputs.values()}
    found: dict[str, tuple[str, ...]] = {}
    for stage in graph.stages:
        for ref in stage.inputs:
            writer: str | None = writers.get(ref.name)
            lag, pending, most = to_do_of(shot, keys.stream(ref), stage.name)
            if (most if lag is None else lag) + pending < graph.max_backlog:
                continue
            while writer is not None:
                if stage.name not in found.get(writer, ()):
                    found[writer] = (*found.get(writer, ()), stage.name)
                writer = above.get(writer)
    return found
