"""Placement: which of a supervisor's processes is the first to read a source, or to write a sink."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rsq_pipe.engine.processes.role import Role
from rsq_pipe.engine.sinks.sink_worker import SinkWorker
from rsq_pipe.engine.sources.source_worker import SourceWorker

T = TypeVar("T")

HEAD_START = 1.0
"""Seconds for which a process leaves to another what that one is to do: it is to have started by then."""


def place(roles: Sequence[Role], number: int, count: int) -> None:
    """
    Have this process be late where another one is to read a source or to write a sink.

    Each of them is one process's at a time, and whoever comes first takes it: without this the process that
    starts first would do all of it, with one core, and the others would have nothing to do but the stages
    between. Nothing depends on it: what nobody has taken after `HEAD_START` is taken by whoever is there.

    Args:
        roles: What this process is about to run.
        number: Which of the processes it is, from 0.
        count: How many there are.
    """
    sources: list[SourceWorker | SinkWorker] = [role for role in roles if isinstance(role, SourceWorker)]
    sinks: list[SourceWorker | SinkWorker] = [
        role for role in roles if isinstance(role, SinkWorker) and role.is_one_of_all
    ]
    for one in left_to_others(sources, sinks, number, count):
        one.late = HEAD_START


def left_to_others(sources: Sequence[T], sinks: Sequence[T], number: int, count: int) -> Iterator[T]:
    """Give each source to a process, in turn, and the sinks to those that read none, if there are any."""
    readers = min(len(sources), count)
    writers = range(readers, count) if readers < count else range(count)
    yield from (source for at, source in enumerate(sources) if at % count != number)
    yield from (sink for at, sink in enumerate(sinks) if writers[at % len(writers)] != number)
