"""Progress: what a replay or a purge would do, and what it has done so far."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, field

from rsq_pipe.ops.dead_letters.failure_groups import FailureGroup
from rsq_pipe.streams.removal import Removed


class Left(Struct, frozen=True):
    """
    Describe dead letters that cannot be replayed as they are.

    Args:
        stage: Their stage.
        count: How many.
        why: The reason for the first of them.
    """

    stage: str
    count: int
    why: str


class Preview(Struct, frozen=True):
    """
    Describe what a replay or a purge would do.

    Args:
        groups: The letters that would be moved or deleted, by stage and error.
        left: The letters that would stay.
        missing: How many were named but do not exist (any more), by the stage given with the name.
    """

    groups: Sequence[FailureGroup]
    left: Sequence[Left] = ()
    missing: Mapping[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many dead letters would be moved or deleted."""
        return sum(group.count for group in self.groups)


class Progress(Struct):
    """
    Count what a replay or a purge has done so far; exact even if it was stopped.

    Args:
        stages: The results by stage.
        notice: Called after each step.
        stopping: Set it to end after the current step.
    """

    stages: dict[str, Removed] = field(default_factory=dict)
    notice: Callable[[], None] = lambda: None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def total(self) -> Removed:
        """The sum over all stages."""
        return sum(self.stages.values(), Removed())

    def add(self, stage: str, removed: Removed) -> None:
        """Count one step."""
        self.stages[stage] = self.stages.get(stage, Removed()) + removed
        self.notice()

    def end(self, plan: Preview) -> None:
        """Count as gone what was planned and not found any more; call it when nothing more is done."""
        if self.stopping.is_set():
            return  # what is left was not looked for
        counts = Counter[str]()
        for group in plan.groups:
            counts[group.stage] += group.count
        for stage, count in counts.items():
            done = self.stages.get(stage, Removed())
            if (rest := count - done.removed - done.held - done.gone) > 0:
                self.stages[stage] = done + Removed(gone=rest)
