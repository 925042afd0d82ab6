"""Event times: the times of records, and which windows they fall into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rsq_pipe.errors import EvaluationError
from rsq_pipe.spec.stages.aggregate import Aggregation
from rsq_pipe.verbs.windows.arguments import Argument, Failed
from rsq_pipe.verbs.windows.local_days import local_days
from rsq_pipe.verbs.windows.moments import Moments, moment
from rsq_pipe.verbs.windows.window_state import SESSIONS


class EventTimes:
    """
    Read the times of records.

    Args:
        of: Defines a record's time and the windows.
        stage: For messages.
    """

    def __init__(self, of: Aggregation, stage: str) -> None:
        self._moments = Moments()
        self._found: list[int] = []
        self._windows = of.windows
        self._on = None if of.on is None else Argument(of.on, stage, "on", _wrong, self._quick)

    def of(self, records: Sequence[Any], failed: Failed) -> list[int] | None:
        """Return the time of each record, in milliseconds since 1970; None if no time is defined."""
        if self._on is None:
            return None
        self._found = []
        values = self._on.column(records, failed)
        return self._found or [0 if value is None else moment(value) for value in values]

    def _quick(self, values: Sequence[Any]) -> bool:
        found = self._moments.all(values)
        self._found = found or []
        return bool(found)

    def windows(self, times: Sequence[int], closed: int) -> list[tuple[int | str, ...]]:
        """List the starts of the open windows that each record falls into; none if it is late."""
        assert self._windows is not None
        every, over = self._windows.every, self._windows.over
        if self._windows.gap:
            return [(SESSIONS,) if at >= closed else () for at in times]
        if self._windows.zone:
            return [*local_days(self._windows.zone, every, over).windows(times, closed)]
        if every == over:
            first = closed - every  # windows that start later end after the closed ones
            return [(start,) if (start := at - at % every) > first else () for at in times]
        return [
            tuple(start for start in range(at - at % every, at - over, -every) if start + over > closed)
            for at in times
        ]


def _wrong(value: Any) -> str:
    try:
        if value is None:
            return "it is null, and a record without a time is in no window"
        moment(value)
    except EvaluationError as exc:
        return str(exc)
    return ""
