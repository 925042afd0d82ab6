"""SlowHint: names a smaller `batch.size` for a stage whose batches take long."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from rsq_pipe.engine.call_times import CallTimes, seconds_of, slot
from rsq_pipe.spec.graph import Graph

SLOW = 5.0
"""Seconds of a batch that are worth the hint: none of its records counts before its end."""


class SlowHint:
    """
    Log once for each stage that calls a handler which `batch.size` suits it better.

    Args:
        graph: The pipeline.
        times: How long calls take.
    """

    def __init__(self, graph: Graph, times: CallTimes) -> None:
        self._times = times
        self._stages = {
            stage.name: stage for stage in graph.stages if stage.verb == "call" and stage.batch_size > 1
        }

    def look(self, calls: Iterable[tuple[str, int]]) -> None:
        """Look at how long batches took: the stage and the number of the duration of some."""
        slow = {name: number for name, number in sorted(calls) if number >= slot(SLOW)}
        for name in slow.keys() & self._stages.keys():
            stage, seconds = self._stages.pop(name), seconds_of(slow[name])
            # A handler that gets the whole batch has no time for each record.
            size = self._times.together([name], stage.batch_size) if self._times.each.get(name) else 0
            size = size or max(1, int(stage.batch_size / seconds))
            structlog.get_logger("rsq_pipe").warning(
                f"stage {name}: a batch took about {seconds:.0f}s; none of its records counts before all are "
                "done, and if the process dies all are handled again: "
                f"`batch: {{size: {size}}}` makes smaller batches"
            )
