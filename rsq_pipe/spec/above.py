"""Above: the stages that records pass on their way to a stage."""

from __future__ import annotations

from rsq_pipe.spec.graph import Graph, Stage, StreamRef


def above(graph: Graph, stage: Stage, ref: StreamRef | None = None) -> list[Stage]:
    """List the stages, in order, that records pass on their way to a stage or one of its inputs."""
    writers: dict[StreamRef, set[str]] = {}
    for one in graph.stages:
        for output in (*one.outputs.values(), one.dlq):
            writers.setdefault(output, set()).add(one.name)
    found: set[str] = set()
    waiting = list(stage.inputs if ref is None else (ref,))
    while waiting:
        for name in writers.get(waiting.pop(), set()) - found:
            found.add(name)
            waiting += graph.stage(name).inputs
    return [one for one in graph.stages if one.name in found]


def waits_for_end(graph: Graph, stage: Stage) -> bool:
    """
    Return whether the windows of a stage close only when all its sources have ended.

    Files are read in the order of their names, and their records may be in any order: unless `late` is set,
    none of them is late. The records of a stream have no end.
    """
    windows = stage.options.windows
    own = {ref for one in graph.stages for ref in one.outputs.values()}
    inputs = (ref for one in (*above(graph, stage), stage) for ref in one.inputs)
    endless = any(ref.external and ref not in own for ref in inputs)
    return windows is None or (windows.late is None and not endless)
