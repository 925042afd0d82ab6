"""Slots: the replication slots that a pipeline's sources leave on PostgreSQL servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from rsq_pipe.engine.changes.last_run import LastRun
from rsq_pipe.spec.graph import ConnectorRef, Graph, Stage
from rsq_pipe.spec.reading import stored_values


def slots_left(last: LastRun) -> list[tuple[str, str]]:
    """
    List the slots named in the file of the last run, each with its stage, as written there.

    A slot keeps its server's log until it is read: an abandoned slot fills the disk.
    """
    return sorted(_slots(stored_values(last.text)))


def slots_of(graph: Graph) -> dict[str, str]:
    """Return the slots that the sources of a pipeline's file read, by stage."""
    return {stage.name: stage.options.options.slot for stage in _readers(graph)}


async def drop_slots(graph: Graph) -> list[tuple[str, str, bool]]:
    """
    Drop the slots that the sources of a pipeline's file read, while it is not running.

    Returns:
        Stage and slot, and whether there was one.

    Raises:
        SourceError: One cannot be dropped; those before it are.

    Cancellation: between two slots; calling again continues.
    """
    from rsq_pipe.connectors.postgres_cdc.reading import drop_slot  # noqa: PLC0415  an extra

    found = []
    for stage in _readers(graph):
        options = stage.options.options
        was = await asyncio.to_thread(drop_slot, options, pipeline=graph.pipeline, stage=stage.name)
        found.append((stage.name, options.slot, was))
    return found


def _readers(graph: Graph) -> Iterator[Stage]:
    for stage in graph.stages:
        ref = stage.options
        if stage.verb == "source" and isinstance(ref, ConnectorRef) and ref.type == "postgres_cdc":
            yield stage


def drop_statement(slot: str) -> str:
    """Build the statement that drops a slot."""
    return f"select pg_drop_replication_slot('{slot}')"


def _slots(file: Any) -> Iterator[tuple[str, str]]:
    stages = file.get("stages") if isinstance(file, dict) else None
    for name, stage in stages.items() if isinstance(stages, dict) else ():
        source = stage.get("source") if isinstance(stage, dict) else None
        if isinstance(source, dict) and source.get("type") == "postgres_cdc" and "slot" in source:
            yield str(name), str(source["slot"])
