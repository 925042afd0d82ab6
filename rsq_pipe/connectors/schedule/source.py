"""Source `schedule`: one record at each time of a schedule."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from rsq_pipe.connectors.closing import WaitingSource
from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.schedule.times import Cron, Every, Times
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.units import Duration
from rsq_pipe.zones import Zone

LATE = timedelta(seconds=1)
"""A time that is later than this when its turn comes was missed."""

_LOOK = 10.0  # seconds between two checks of the clock, at most: it may be set, or the machine may sleep


def _cron(line: str) -> str:
    if find_spec("cronsim") is None:  # the table of connectors says so
        return line
    from cronsim import CronSim, CronSimError  # noqa: PLC0415  an extra

    try:
        CronSim(line, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as exc:
        what = f"{line!r} is not a line of cron's: {str(exc)[:1].lower()}{str(exc)[1:]}"
        raise ValueError(f"{what}; write minute, hour, day, month and weekday: '30 6 * * MON-FRI'") from exc
    return line


class Options(Settings):
    """Settings of the `schedule` source: a record `{time, missed}` at each time of a schedule."""

    cron: Annotated[str, AfterValidator(_cron)] | None = Field(
        default=None,
        description="When, in cron's form: minute, hour, day, month and weekday, `30 6 * * MON-FRI`; a sixth "
        "field in front is the second.",
    )
    every: Annotated[Duration, Field(ge=1)] | None = Field(
        default=None, description="Or how often: at multiples of this, counted from midnight UTC: `10m`."
    )
    zone: Zone = Field(
        default="UTC",
        description="With `cron`: the time zone, `Europe/Berlin`; the times in records are also in this "
        "zone.",
    )
    catch_up: Literal["all", "last", "none"] = Field(
        default="last",
        description="What happens to times that were missed because no process ran or the pipeline was full: "
        "each becomes a record, only the last does, or none. A time more than a second late was missed.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.cron is None) == (self.every is None):
            raise ValueError("it needs either `cron` or `every`; write `cron: '0 * * * *'` or `every: 10m`")
        if self.every is not None and self.every % 1:
            raise ValueError("`every` has a part of a second; record ids and times are in whole ones")
        if self.every is not None and self.zone != "UTC":
            raise ValueError("`zone` is for `cron`; `every` counts from midnight UTC: leave `zone` out")
        return self

    @property
    def times(self) -> Times:
        """The times at which it fires."""
        return (
            Cron(self.cron, ZoneInfo(self.zone)) if self.cron is not None else Every(float(self.every or 0))
        )


def connect(options: Options, *, stage: str, root: Path) -> ScheduleSource:  # noqa: ARG001  every connector's signature
    """Make the source of a stage."""
    return ScheduleSource(options)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return an endpoint that shows when it fires next."""
    shown = f"cron {options.cron}, {options.zone}" if options.cron else f"every {options.every:g} s"

    def reach(_: float) -> str:
        found = options.times.after(_now())
        return f"next at {found:%Y-%m-%dT%H:%M:%SZ}" if found else "it never fires again"

    return Endpoint(shown, reach)


def _now() -> datetime:
    return datetime.now(UTC)


class ScheduleSource(WaitingSource):
    """
    Yield a record at each scheduled time, in one process at a time.

    Args:
        options: The schedule.
        now: Returns the time.
    """

    resumable = True

    def __init__(self, options: Options, now: Callable[[], datetime] = _now) -> None:
        super().__init__()
        self._times = options.times
        self._catch_up = options.catch_up
        self._zone = ZoneInfo(options.zone)
        self._now = now
        self._waits = True

    def shards(self) -> Sequence[str]:
        """Name the only shard."""
        return ["times"]

    def preview(self) -> ScheduleSource:
        """Return a copy that does not wait, for a preview: it yields the next times at once."""
        self._waits = False
        return self

    def _read(self, position: str, size: int, stopped: threading.Event) -> Iterator[Chunk]:
        """Yield the times after `position`; if nothing was ever stored, those from now on."""
        last = datetime.fromisoformat(position) if position else self._now()
        if not position:
            yield Chunk([], [], _stamp(last))  # so that what is missed from now on is known to be missed
        while (coming := self._times.after(last)) is not None:
            now = self._now()
            if not self._waits:
                now = coming
            elif coming > now:
                if stopped.wait(min((coming - now).total_seconds(), _LOOK)):
                    return
                continue
            fired, last = self._due(last, coming, now, size)
            if fired:
                yield Chunk.of([self._arrival(at, now) for at in fired], _stamp(last))

    def _due(
        self, last: datetime, coming: datetime, now: datetime, size: int
    ) -> tuple[list[datetime], datetime]:
        """Return which times fire now, at most `size`, and up to when everything is done."""
        missed = self._times.until(now - LATE)
        if self._catch_up != "all" and missed is not None and missed > last:
            return ([missed] if self._catch_up == "last" else []), missed
        fired = [coming]
        while len(fired) < size and (more := self._times.after(fired[-1])) is not None and more <= now:
            fired.append(more)
        return fired, fired[-1]

    def _arrival(self, at: datetime, now: datetime) -> Arrival:
        shown = at.astimezone(self._zone).isoformat(timespec="seconds")
        return Arrival(_stamp(at), {"time": shown, "missed": at < now - LATE})


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
