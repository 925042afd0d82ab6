"""FailureLog: log lines for the records that failed for good, few enough to read."""

from __future__ import annotations

import asyncio
from typing import Any

from rsq_pipe.engine.plan import Plan
from rsq_pipe.error_text import full_text
from rsq_pipe.telemetry.trace_context import names

QUIET = 10.0
"""Seconds between two lines of one stage: there may be hundreds of small batches a second."""

_WHAT = {"dlq": "dead-lettered", "drop": "dropped", "stop": "stopped at"}


class FailureLog:
    """
    Log the records that failed for good in a worker's stages: the first at once, later ones together.

    Args:
        log: Where to log them.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._waiting: dict[tuple[str, str], dict[str, Any]] = {}
        self._quiet: set[tuple[str, str]] = set()
        self._timers: list[asyncio.TimerHandle] = []

    def add(self, plan: Plan) -> None:
        """Log a batch: a line per stage and end, not per record, and none soon after an earlier one."""
        for (stage, end), failures in plan.failures_by_end().items():
            first = failures[0]
            key = (f"{_WHAT[end]} failed records", stage)
            line = self._waiting.get(key)
            if line is not None:
                line["records"] += len(failures)
                continue
            self._waiting[key] = {
                "records": len(failures),
                "first_error": full_text(first.error),
                **names(first.rid, first.headers),
            }
            if key not in self._quiet:
                self._log_failures(key)

    def close(self) -> None:
        """Log what has not been logged yet."""
        for timer in self._timers:
            timer.cancel()
        for event, stage in list(self._waiting):
            self._log.warning(event, stage=stage, **self._waiting.pop((event, stage)))
        self._quiet.clear()

    def _log_failures(self, key: tuple[str, str]) -> None:
        """Log a line, then pause for a while; later failures are logged together in the next line."""
        self._quiet.discard(key)
        if key in self._waiting:
            event, stage = key
            self._log.warning(event, stage=stage, **self._waiting.pop(key))
            self._quiet.add(key)
            now = asyncio.get_running_loop().time()
            self._timers = [timer for timer in self._timers if timer.when() > now]
            self._timers.append(asyncio.get_running_loop().call_later(QUIET, self._log_failures, key))
