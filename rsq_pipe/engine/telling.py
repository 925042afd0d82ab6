"""Telling: one log line for the records of a batch that failed for good."""

from __future__ import annotations

from typing import Any

from rsq_pipe.engine.plan import Plan
from rsq_pipe.streams.dead_letter import told
from rsq_pipe.telemetry.trace_context import names

_WHAT = {"dlq": "dead-lettered", "drop": "dropped", "stop": "stopped at"}


def tell(log: Any, plan: Plan) -> None:
    """Log what failed for good: one line a batch and stage, and not one a record."""
    for stage, failures in plan.failed_by_stage().items():
        first = failures[0]
        event = f"{_WHAT[first.on_error]} failed records"
        log.warning(
            event,
            stage=stage,
            records=len(failures),
            first_error=told(first.error),
            **names(first.rid, first.headers),
        )
