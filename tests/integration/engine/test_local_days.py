"""aggregate by the days of a time zone: several workers, records around the changes of its clock."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest

from tests.integration.engine.aggregating import PRINT, came, outside
from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until


def around_changes(zone: ZoneInfo, count: int) -> list[int]:
    """Seconds since 1970 within three days of the changes of a zone's clock in two years."""
    hours = range(1_735_689_600, 1_798_761_600, 3_600)  # 2025 and 2026

    def offset(at: int) -> dt.timedelta | None:
        return dt.datetime.fromtimestamp(at, zone).utcoffset()

    changes = [at for at in hours if offset(at) != offset(at - 3_600)]
    rng = random.Random(zone.key)
    return [rng.choice(changes) + rng.randrange(-259_200, 259_200) for _ in range(count)]


def local(at: int, zone: ZoneInfo) -> dt.date:
    return dt.datetime.fromtimestamp(at, zone).date()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Africa/Cairo", "America/Santiago"])
@pytest.mark.parametrize(
    ("every", "of"), [("1d", lambda day: day), ("7d", lambda day: day - dt.timedelta(day.weekday()))]
)
async def test_each_record_counts_for_its_local_day_or_week_however_many_workers_there_are(
    lab: PackedLab, zone: str, every: str, of: Callable[[dt.date], dt.date]
) -> None:
    clock = ZoneInfo(zone)
    times = around_changes(clock, 1_500)
    for part in range(3):
        lab.records(times[part::3], path=f"{part}.jsonl")
    lab.spec(f"""
        {READ}
        daily:
          workers: 3
          batch: {{size: 50}}
          aggregate: {{every: {every}, zone: {zone}, on: n, compute: {{count: count(), sum: sum(n)}}}}
        {PRINT}
    """)

    await lab.run()

    groups: dict[dt.date, list[int]] = defaultdict(list)
    for at in times:
        groups[of(local(at, clock))].append(at)
    lines = lab.lines("out/all.jsonl")
    found = {dt.date.fromisoformat(line["window_start"][:10]): (line["count"], line["sum"]) for line in lines}
    assert len(found) == len(lines)
    assert found == {day: (len(some), sum(some)) for day, some in groups.items()}
    starts = [dt.datetime.fromisoformat(line["window_start"]) for line in lines]
    ends = [dt.datetime.fromisoformat(line["window_end"]) for line in lines]
    for start, end in zip(starts, ends, strict=True):
        length = dt.timedelta(days=7 if every == "7d" else 1)
        assert local(int(end.timestamp()), clock) - local(int(start.timestamp()), clock) == length
        assert local(int(start.timestamp()) - 1, clock) < local(int(start.timestamp()), clock)
    lengths = Counter((end - start) / dt.timedelta(hours=1) for start, end in zip(starts, ends, strict=True))
    usual = 168 if every == "7d" else 24
    assert {*lengths} == {usual - 1, usual, usual + 1}


async def test_a_local_day_closes_when_its_last_hour_has_passed(lab: PackedLab) -> None:
    lab.spec(f"""
        read: {{source: {{type: stream, stream: "{outside(lab)}"}}}}
        daily: {{aggregate: {{every: 1d, zone: Europe/Berlin, on: n, late: 0s, compute: {{count: count()}}}}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        late: {{from: daily.late, sink: {{type: jsonl, path: out/late.jsonl}}}}
    """)
    day = int(dt.datetime(2026, 10, 25, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())  # it has 25 hours
    run = await lab.up()

    await came(lab, day, day + 25 * 3600 - 1, day + 25 * 3600)
    await wait_until(lab.lines_so_far, what="the day is closed")
    await came(lab, day + 25 * 3600 - 1)
    await wait_until(lambda: lab.lines_so_far("out/late.jsonl"), what="a record of that day is late")

    await run.stop()
    (line,) = lab.lines("out/all.jsonl")
    assert line == {
        "window_start": "2026-10-25T00:00:00+02:00",
        "window_end": "2026-10-26T00:00:00+01:00",
        "count": 2,
    }
