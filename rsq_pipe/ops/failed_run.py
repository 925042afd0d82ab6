"""FailedRun: the error by which the last run of a pipeline ended, as it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rsq_pipe.engine.last_failure import last_failure


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


def failed_run(table: Mapping[str, str], now: float) -> FailedRun | None:
    """Read it out of the fields of the pipeline's hash; None where the last run did not end so."""
    found = last_failure(table)
    return None if found is None else FailedRun(found.why, found.at, max(0.0, now - found.at))
