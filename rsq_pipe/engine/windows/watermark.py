"""Watermark: how far the time of a stage's records has advanced, and what still holds it back."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.spec.above import above
from rsq_pipe.spec.graph import Graph, Stage, StreamRef
from rsq_pipe.spec.stages.aggregate import Windows

ALL = 1 << 60
"""A watermark after all windows: no input holds one open."""


class Input(Struct, frozen=True):
    """
    Describe an input of a stage.

    Args:
        seen: The latest time of its records; None if none came yet.
        quiet: Milliseconds since the last record.
        empty: Whether nothing from it is on its way to the stage.
    """

    seen: int | None
    quiet: int
    empty: bool


def watermark(inputs: Sequence[Input], windows: Windows) -> int | None:
    """
    Return until when windows may be closed: every input that is not idle has only late records before that.

    Returns:
        Milliseconds since 1970; ALL if all inputs are idle; None if one of them has not begun.
    """
    awake = [one for one in inputs if not (one.empty and one.quiet >= windows.idle)]
    if any(one.seen is None for one in awake):
        return None
    late = windows.late or 0
    return min((one.seen - late for one in awake if one.seen is not None), default=ALL)


def is_empty(graph: Graph, stage: Stage, ref: StreamRef, state: PipelineState) -> bool:
    """Return whether nothing is on its way to an input of a stage."""
    idle = all(state.stages[one.name].idle for one in above(graph, stage, ref))
    return idle and not state.backlog.get(Keyspace(graph.pipeline).stream(ref), 0)
