"""Room: how much a stage may still write, as its worker computes it."""

from __future__ import annotations

from collections.abc import Mapping

from rsq_pipe.engine import backlog
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.spec.graph import Graph


def room(state: PipelineState, graph: Graph, stage: str, totals: Mapping[str, int]) -> int:
    """Return how many records a stage may still write before the fullest stream below it is full."""
    return backlog.room(state, backlog.outlets(graph, stage), graph.max_backlog, totals)
