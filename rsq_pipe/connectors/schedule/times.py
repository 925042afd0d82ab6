"""Times: when a schedule fires."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol


class Times(Protocol):
    """The times of a schedule, in order, without beginning or end."""

    def after(self, moment: datetime) -> datetime | None:
        """Find the first time after a moment; None if there are no more."""
        ...

    def until(self, moment: datetime) -> datetime | None:
        """Find the last time up to and including a moment; None if there was none."""
        ...


class Cron:
    """
    Fire by a cron expression, in a time zone, with Debian's rules for changes of daylight saving time.

    Args:
        line: Five fields, or six with seconds first.
        zone: The time zone.
    """

    def __init__(self, line: str, zone: tzinfo) -> None:
        self._line = line
        self._zone = zone

    def after(self, moment: datetime) -> datetime | None:
        """Find the first time after a moment."""
        return self._first(moment, reverse=False)

    def until(self, moment: datetime) -> datetime | None:
        """Find the last time up to a moment."""
        return self._first(moment + timedelta(seconds=1), reverse=True)

    def _first(self, moment: datetime, *, reverse: bool) -> datetime | None:
        from cronsim import CronSim  # noqa: PLC0415  an extra

        whole = moment.replace(microsecond=0).astimezone(self._zone)
        try:
            return next(CronSim(self._line, whole, reverse=reverse)).astimezone(UTC)
        except StopIteration:
            return None


class Every:
    """
    Fire at the multiples of a period, counted from 1970-01-01T00:00Z: each 10 minutes at :00, :10 and so on.

    Args:
        seconds: The period.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def after(self, moment: datetime) -> datetime:
        """Find the first time after a moment."""
        return self.until(moment) + timedelta(seconds=self._seconds)

    def until(self, moment: datetime) -> datetime:
        """Find the last time up to a moment."""
        return datetime.fromtimestamp(moment.timestamp() // self._seconds * self._seconds, UTC)
