"""Placement: which of a supervisor's processes tries first to read a source or write a sink."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rsq_pipe.engine.processes.role import Role
from rsq_pipe.engine.sinks.sink_worker import SinkWorker
from rsq_pipe.engine.sources.source_worker import SourceWorker

T = TypeVar("T")

HEAD_START = 1.0
"""Seconds for which a process leaves another's share to it: by then that one should have started."""


def place(roles: Sequence[Role], number: int, count: int) -> None:
    """
    Make this process wait before it takes a source or sink that is meant for another one.

    Each of them is run by one process at a time, the first one to take it: without this, the process that
    starts first would take them all, on one core, and leave the others only the stages in between. Nothing
    depends on it: whatever is still free after `HEAD_START` is taken by any process.

    Args:
        roles: The roles this process is about to run.
        number: The index of this process, from 0.
        count: Number of processes.
    """
    sources: list[SourceWorker | SinkWorker] = [role for role in roles if isinstance(role, SourceWorker)]
    sinks: list[SourceWorker | SinkWorker] = [
        role for role in roles if isinstance(role, SinkWorker) and role.is_one_of_all
    ]
    for one in left_to_others(sources, sinks, number, count):
        one.late = HEAD_START


def left_to_others(sources: Sequence[T], sinks: Sequence[T], number: int, count: int) -> Iterator[T]:
    """Assign the sources to processes in turn, and the sinks to those without a source, if there are any."""
    readers = min(len(sources), count)
    writers = range(readers, count) if readers < count else range(count)
    yield from (source for at, source in enumerate(sources) if at % count != number)
    yield from (sink for at, sink in enumerate(sinks) if writers[at % len(writers)] != number)
