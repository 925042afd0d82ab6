"""Slots: the replication slots that a pipeline's sources leave on PostgreSQL servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rsq_pipe.engine.last_run import LastRun
from rsq_pipe.spec.reading import stored_values


def slots_left(last: LastRun) -> list[tuple[str, str]]:
    """
    List the slots that the file of the last run names, each with its stage, as the file spells them.

    A slot keeps its server's log until somebody reads it: one that nobody reads any more fills the disk.
    """
    return sorted(_slots(stored_values(last.text)))


def drop_statement(slot: str) -> str:
    """Write the statement that drops a slot."""
    return f"select pg_drop_replication_slot('{slot}')"


def _slots(file: Any) -> Iterator[tuple[str, str]]:
    stages = file.get("stages") if isinstance(file, dict) else None
    for name, stage in stages.items() if isinstance(stages, dict) else ():
        source = stage.get("source") if isinstance(stage, dict) else None
        if isinstance(source, dict) and source.get("type") == "postgres_cdc" and "slot" in source:
            yield str(name), str(source["slot"])
