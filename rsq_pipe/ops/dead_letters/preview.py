"""Preview: what a replay or a purge would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rsq_pipe.ops.dead_letters.failure_groups import FailureGroup


@dataclass(frozen=True, slots=True)
class Left:
    """
    Tell of dead letters that cannot be replayed as they are.

    Args:
        stage: Their stage.
        count: How many.
        why: Why the first of them cannot.
    """

    stage: str
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class Preview:
    """
    State what a replay or a purge would do.

    Args:
        groups: What would go, by stage and error.
        left: What would stay.
        missing: How many were named and are not there (any more), by the stage they were named with.
    """

    groups: Sequence[FailureGroup]
    left: Sequence[Left] = ()
    missing: Mapping[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many dead letters would go."""
        return sum(group.count for group in self.groups)
