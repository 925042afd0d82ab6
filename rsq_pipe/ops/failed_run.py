"""FailedRun: the error with which the last run of a pipeline ended."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from rsq_pipe.engine.failures.last_failure import CUT_OFF, Failed, last_failure


class FailedRun(Struct, frozen=True):
    """
    Describe the error that ended a run.

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
    Find the error that ended the last run.

    Args:
        table: Fields of the pipeline's hash.
        dead: Processes that ended without reporting it, and when they gave their last sign of life.
        now: The server's clock.

    Returns:
        None if it did not end with an error.
    """
    found = last_failure(table)
    if dead and (found is None or found.at < max(dead.values())):
        found = Failed(CUT_OFF, max(dead.values()))
    return None if found is None else FailedRun(found.why, found.at, max(0.0, now - found.at))
