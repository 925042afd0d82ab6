"""Telling: log lines for the records that failed for good, few enough to be read."""

from __future__ import annotations

import asyncio
from typing import Any

from rsq_pipe.engine.plan import Plan
from rsq_pipe.error_text import told
from rsq_pipe.telemetry.trace_context import names

QUIET = 10.0
"""Seconds between two lines of one stage: of small batches there may be hundreds a second."""

_WHAT = {"dlq": "dead-lettered", "drop": "dropped", "stop": "stopped at"}


class FailureLog:
    """
    Log the records that a worker's stages failed for good: the first at once, then what has come in between.

    Args:
        log: Where to.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._waiting: dict[tuple[str, str], dict[str, Any]] = {}
        self._quiet: set[tuple[str, str]] = set()
        self._timers: list[asyncio.TimerHandle] = []

    def tell(self, plan: Plan) -> None:
        """Tell of a batch: one line a stage and not one a record, and none while an earlier one is new."""
        for stage, failures in plan.failed_by_stage().items():
            first = failures[0]
            key = (f"{_WHAT[first.on_error]} failed records", stage)
            line = self._waiting.get(key)
            if line is not None:
                line["records"] += len(failures)
                continue
            self._waiting[key] = {
                "records": len(failures),
                "first_error": told(first.error),
                **names(first.rid, first.headers),
            }
            if key not in self._quiet:
                self._say(key)

    def close(self) -> None:
        """Tell what has not been told of."""
        for timer in self._timers:
            timer.cancel()
        for event, stage in list(self._waiting):
            self._log.warning(event, stage=stage, **self._waiting.pop((event, stage)))
        self._quiet.clear()

    def _say(self, key: tuple[str, str]) -> None:
        """Log a line, and be quiet for a while; what comes meanwhile is told then, in one line."""
        self._quiet.discard(key)
        if key in self._waiting:
            event, stage = key
            self._log.warning(event, stage=stage, **self._waiting.pop(key))
            self._quiet.add(key)
            now = asyncio.get_running_loop().time()
            self._timers = [timer for timer in self._timers if timer.when() > now]
            self._timers.append(asyncio.get_running_loop().call_later(QUIET, self._say, key))
