"""Memories: how many keys each stage's state holds, and their limit."""

from __future__ import annotations

from msgspec import Struct

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.model.state import EVICTED, KEYS
from rsq_pipe.spec.fusing import has_state
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.snapshot import Snapshot


class StageMemory(Struct, frozen=True):
    """
    Count the keys of a stage's state.

    Args:
        keys: How many keys.
        max_keys: Maximum number of keys.
        evicted: How many were evicted to make room.
    """

    keys: int
    max_keys: int
    evicted: int = 0


def state_hashes(graph: Graph) -> list[str]:
    """Name the hashes with these counts."""
    keys = Keyspace(graph.pipeline)
    return [keys.state(stage) for stage in graph.stages if has_state(stage)]


def memories(graph: Graph, shot: Snapshot) -> dict[str, StageMemory]:
    """Return the counts of each stage with state."""
    found = {}
    for stage in graph.stages:
        if has_state(stage):
            held = shot.hashes[Keyspace(graph.pipeline).state(stage)]
            numbers = int(held.get(KEYS, 0)), stage.options.max_keys, int(held.get(EVICTED, 0))
            found[stage.name] = StageMemory(*numbers)
    return found
