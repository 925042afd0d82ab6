"""StateStorm: a storm over a stage that remembers something, and what a plain loop finds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Protocol

from tests.chaos.storm import PATIENCE, Storm

HANDLERS = """
    import time

    def flaky(record, ctx):
        time.sleep(SECONDS)
        if record["n"] % 101 == 0 and ctx.attempt == 1:
            raise RuntimeError("not yet")
        return record
"""
TOP = """
    max_backlog: 3000
    reclaim: {idle: 300ms}
    drain_timeout: 3s
"""
DEFAULTS = """
    defaults:
      batch: {size: SIZE, wait: 5ms}
      retry: {attempts: 3, backoff: {first: 20ms, max: 60ms}}
      breaker: false
"""


class Difference(Protocol):
    """What differs from a plain loop's findings."""

    @property
    def is_none(self) -> bool:
        """Whether all is as it should be."""
        ...

    @property
    def is_harm(self) -> bool:
        """Whether it shows that a safety was missing."""
        ...


class StateStorm(Storm):
    """
    Run a pipeline with state by several processes that are killed and paused.

    Attributes:
        seconds, size: How slow the stage above is, and how large its batches are.
        seeds, acts, patience, lease: How often, and how hard, a pipeline without a safety is tried.
        sabotages: The safeties that are switched off, each with what then harms.
    """

    seconds: ClassVar[float] = 0.0008
    size: ClassVar[int] = 100
    seeds: ClassVar[range] = range(300, 308)
    acts: ClassVar[int] = 6
    patience: ClassVar[float] = PATIENCE
    lease: ClassVar[float] = 1.0
    sabotages: ClassVar[dict[str, Callable[[Storm], None]]] = {
        "change_state_unchecked": Storm.kill,
        "change_state_in_a_step_of_its_own": Storm.kill,
    }

    def _write_stages(self, stages: str) -> None:
        """Write the pipeline; its stages find `flaky` among the handlers."""
        self.project.handlers(HANDLERS.replace("SECONDS", str(self.seconds)))
        self.project.spec(stages, top=TOP, defaults=DEFAULTS.replace("SIZE", str(self.size)))

    @abstractmethod
    def difference(self) -> Difference:
        """Compare what came out with what a plain loop finds."""
