"""Rates: the rate limits of a process's stages, as the pipeline's file says now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from rsq_pipe.engine.fusion import fused
from rsq_pipe.errors import SpecSyntaxError, SpecValidationError
from rsq_pipe.spec.graph import Graph, RateLimit
from rsq_pipe.spec.rate_limit import read_limits

PERIOD = 0.5
"""Seconds between two checks whether the file has changed."""


class Rates:
    """
    Hold the limit of each stage.

    Args:
        graph: The pipeline, as its file was when the run began.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.limits = {stage.name: stage.rate for stage in graph.stages}
        """Stage -> its current limit; None if it may go as fast as it can."""
        self._seen: tuple[int, ...] = ()
        self.changed = asyncio.Event()
        """Set when a limit changes, and then replaced by a new event."""
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline)

    async def refresh(self) -> None:
        """Read the limits again if the file has changed; while it is invalid, the old limits apply."""
        seen = self._stamp()
        if seen in {self._seen, ()}:
            return
        self._seen = seen
        try:
            limits = await asyncio.to_thread(read_limits, self._graph.path)
        except (SpecSyntaxError, SpecValidationError) as exc:
            self._log.warning("the pipeline's file has changed and its rates are wrong", error=str(exc))
            return
        self.set({name: limits[name] for name in self.limits if name in limits})

    def set(self, limits: Mapping[str, RateLimit | None]) -> None:
        """Set limits, and wake workers that wait under the old ones."""
        above = fused(self._graph)
        changed = {name: limit for name, limit in limits.items() if limit != self.limits[name]}
        for name, limit in changed.items():
            if name in above and self._graph.stage(name).rate is None:
                what = "a rate given to a fused stage takes effect when the pipeline is started again"
                self._log.warning(what, stage=name, fused_with=above[name])
                continue
            before = self.limits[name]
            self._log.info("rate changed", stage=name, rate=_text(limit), before=_text(before))
            self.limits[name] = limit
        if changed:
            self.changed.set()
            self.changed = asyncio.Event()

    def _stamp(self) -> tuple[int, ...]:
        try:
            found = self._graph.path.stat()
        except OSError:  # it may just be being replaced
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino


def _text(limit: RateLimit | None) -> str:
    return "none" if limit is None else f"{limit.text}, burst {limit.burst:,}"
