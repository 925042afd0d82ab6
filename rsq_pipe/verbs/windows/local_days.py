"""Local days: windows of whole days in a time zone; a day has 23 or 25 hours where clocks are changed."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from rsq_pipe.verbs.windows.moments import spelled
from rsq_pipe.zones import time_zone

DAY = 86_400_000
"""Milliseconds of a day whose clocks are not changed."""

KEPT = 10_000
"""Number of UTC days whose windows are cached, and of windows whose ends are."""

_MONDAY = 4  # 1970-01-05, in days since 1970-01-01: windows of 7 days begin on Mondays
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS = dt.timedelta(milliseconds=1)
_EARLIEST, _LATEST = -719_160 * DAY, 2_932_890 * DAY  # the years 1 to 9999, but for some days at either end

Beginnings: TypeAlias = tuple[list[int], list[tuple[int, ...]]]
"""Times from which on the windows are others, and the starts of the windows from then on."""


class LocalDays:
    """
    Find windows of whole days of a time zone.

    A day begins when the zone's clock first shows it or a later one. So days follow one another without a
    gap, also where clocks go back past midnight, and a day that a zone left out has no window.

    Args:
        zone: The name of the zone.
        every: Days from the start of a window to that of the next one.
        count: How many windows a time is in.
    """

    def __init__(self, zone: str, every: int, count: int) -> None:
        self._zone = time_zone(zone)
        self._every, self._count = every, count
        self._known: dict[int, Beginnings] = {}
        self._ends: dict[int, int] = {}

    def windows(self, times: Sequence[int], closed: int) -> list[tuple[int, ...]]:
        """List the starts of the open windows that each time falls into, the latest first."""
        first = self._start(self._number(closed) - self._count + 1)  # earlier ones have ended by then
        return [
            some if some[-1] >= first else tuple(start for start in some if start >= first)
            for some in map(self._of, times)
        ]

    def end(self, start: int) -> int:
        """Return when a window ends."""
        found = self._ends.get(start)
        if found is None:
            if len(self._ends) >= KEPT:
                self._ends.clear()
            found = self._ends[start] = self._start(self._number(start) + self._count)
        return found

    def spelled(self, at: int) -> str:
        """Format a time as ISO 8601 with the zone's offset; `Z` if that is zero."""
        try:
            text = (_EPOCH + at * _MS).astimezone(self._zone).isoformat()
        except OverflowError:
            return spelled(at)
        return f"{text.removesuffix('+00:00')}Z" if text.endswith("+00:00") else text

    def _of(self, at: int) -> tuple[int, ...]:
        day = at // DAY
        edges, windows = self._known.get(day) or self._learned(day)
        return windows[bisect_right(edges, at) - 1]

    def _learned(self, day: int) -> Beginnings:
        """Find the windows of all times of a UTC day."""
        number = self._number(day * DAY)
        edges = [self._start(number)]
        windows = [self._starts(number)]
        while (start := self._start(number := number + 1)) < (day + 1) * DAY:
            if start == edges[-1]:  # a day that was left out
                windows.pop()
            else:
                edges.append(start)
            windows.append(self._starts(number))
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[day] = edges, windows
        return edges, windows

    def _starts(self, number: int) -> tuple[int, ...]:
        """List the starts of the windows that are open when one begins, itself first."""
        return tuple(dict.fromkeys(self._start(number - before) for before in range(self._count)))

    def _number(self, at: int) -> int:
        """Return the number of the last window that begins at a time or before it."""
        number = ((at + self._offset(at)) // DAY - _MONDAY) // self._every
        while self._start(number + 1) <= at:
            number += 1
        return number

    def _start(self, number: int) -> int:
        """Return when a window begins: when the zone's clock first shows its first day, or a later one."""
        midnight = (number * self._every + _MONDAY) * DAY
        low, high = midnight - DAY, midnight + DAY
        before, after = self._offset(low), self._offset(high)
        if before == after:
            return midnight - before
        while high - low > 1:  # the clock is changed at `high`
            middle = (low + high) // 2
            low, high = (middle, high) if self._offset(middle) == before else (low, middle)
        return midnight - before if midnight - before < high else max(high, midnight - after)

    def _offset(self, at: int) -> int:
        """Return by how much the zone's clock is ahead of UTC."""
        moment = (_EPOCH + min(max(at, _EARLIEST), _LATEST) * _MS).astimezone(self._zone)
        return (moment.utcoffset() or dt.timedelta()) // _MS


@lru_cache(maxsize=64)
def local_days(zone: str, every: int, over: int) -> LocalDays:
    """Find the windows of a zone that begin every so many milliseconds, over so many, both whole days."""
    return LocalDays(zone, every // DAY, over // every)
