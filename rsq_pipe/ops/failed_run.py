"""FailedRun: the error by which the last run of a pipeline ended, as it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rsq_pipe.engine.last_failure import CUT_OFF, Failed, last_failure


@dataclass(frozen=True, slots=True)
class FailedRun:
    """
    Say by what a run ended.

    Args:
        why: The error.
        at: When, in seconds since 1970.
        seconds: How long ago that was.
    """

    why: str
    at: float
    seconds: float


def failed_run(table: Mapping[str, str], dead: Mapping[str, float], now: float) -> FailedRun | None:
    """
    Tell by what the last run ended.

    Args:
        table: Fields of the pipeline's hash.
        dead: Processes that have ended without a word, and when they gave their last sign of life.
        now: The server's clock.

    Returns:
        None where it did not end by an error.
    """
    found = last_failure(table)
    if dead and (found is None or found.at < max(dead.values())):
        found = Failed(CUT_OFF, max(dead.values()))
    return None if found is None else FailedRun(found.why, found.at, max(0.0, now - found.at))
