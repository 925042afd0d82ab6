"""Progress: what a replay or a purge has done so far."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from rsq_pipe.streams.removal import Removed


@dataclass(slots=True)
class Progress:
    """
    Count what a replay or a purge has done so far; exact, also when it was stopped.

    Args:
        stages: What became of the dead letters, by stage.
        notice: Called after each step.
        stopping: Set it to end after the step under way.
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
