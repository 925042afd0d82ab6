"""Local days: windows of whole days of a time zone, against the zone's clock, minute by minute."""

from __future__ import annotations

import datetime as dt
import random
from zoneinfo import ZoneInfo

import pytest

from rsq_pipe.verbs.windows.local_days import DAY, local_days
from rsq_pipe.verbs.windows.moments import moment
from rsq_pipe.verbs.windows.window_state import NEVER

MINUTE = 60_000

CHANGES = [
    ("Europe/Berlin", "2026-03-29T01:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00Z"),
    ("America/New_York", "2026-03-08T07:00Z"),
    ("America/New_York", "2026-11-01T06:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00Z"),  # by half an hour
    ("Asia/Beirut", "2022-03-26T22:00Z"),  # at midnight: the day begins at 1:00
    ("America/Sao_Paulo", "2018-11-04T03:00Z"),  # the same
    ("America/Sao_Paulo", "2018-02-18T02:00Z"),  # from midnight back to 23:00
    ("America/Havana", "2022-11-06T05:00Z"),  # from 1:00 back to midnight, which comes twice
    ("America/St_Johns", "2010-11-07T02:31Z"),  # from 0:01 back to 23:01
    ("Pacific/Apia", "2011-12-30T10:00Z"),  # a day was left out
    ("Asia/Kathmandu", "2026-06-01T00:00Z"),  # no change
]


def clock_day(at: int, zone: ZoneInfo) -> int:
    return dt.datetime.fromtimestamp(at // 1000, zone).date().toordinal()


@pytest.mark.parametrize(("zone", "changed"), CHANGES)
def test_a_window_is_a_day_of_the_zones_clock(zone: str, changed: str) -> None:
    days, middle = local_days(zone, DAY, DAY), moment(changed)
    clock = ZoneInfo(zone)
    day = 0

    for at in range(middle - 3 * DAY, middle + 3 * DAY, MINUTE):
        day, before = max(day, clock_day(at, clock)), day  # what went back past midnight is of the day begun
        ((start,),) = days.windows([at], NEVER)
        assert start <= at < days.end(start)
        if before:
            assert (start == at) == (day > before), at


@pytest.mark.parametrize(("every", "over"), [(1, 1), (1, 7), (7, 7), (2, 6), (7, 28)])
@pytest.mark.parametrize("zone", sorted({zone for zone, _ in CHANGES}))
def test_windows_follow_one_another_and_a_time_is_in_those_that_span_it(
    zone: str, every: int, over: int
) -> None:
    days = local_days(zone, every * DAY, over * DAY)
    rng = random.Random(f"{zone} {every} {over}")

    for _ in range(200):
        at = rng.randrange(moment("1930-01-01"), moment("2040-01-01"))
        closed = at + rng.randrange(-over * DAY, DAY)
        (of,) = days.windows([at], NEVER)
        (still_open,) = days.windows([at], closed)
        assert all(start <= at < days.end(start) for start in of)
        assert list(of) == sorted(of, reverse=True)
        assert still_open == tuple(start for start in of if days.end(start) > closed)
        assert (len(of) == over // every) or zone == "Pacific/Apia"
        if every == over:
            assert days.windows([of[0] - 1, days.end(of[0])], NEVER)[0] != of
            assert days.windows([days.end(of[0])], NEVER) == [(days.end(of[0]),)]


def test_a_day_that_a_zone_left_out_has_no_window() -> None:
    days = local_days("Pacific/Apia", DAY, 3 * DAY)

    (found,) = days.windows([moment("2012-01-01T12:00+14:00")], NEVER)

    assert [days.spelled(start)[:10] for start in found] == ["2012-01-01", "2011-12-31"]
    assert [days.spelled(days.end(start))[:10] for start in found] == ["2012-01-04", "2012-01-03"]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_windows_of_seven_days_begin_on_mondays(zone: str) -> None:
    days = local_days(zone, 7 * DAY, 7 * DAY)

    for week in range(60):
        ((start,),) = days.windows([moment("2026-01-01") + week * 7 * DAY], NEVER)
        shown = dt.datetime.fromisoformat(days.spelled(start))
        assert (shown.isoweekday(), shown.time()) == (1, dt.time())


def test_the_first_and_the_last_days_that_can_be_written_have_windows() -> None:
    days = local_days("America/New_York", DAY, 2 * DAY)

    for at in (moment("0001-01-01"), moment("9999-12-31T23:59:59")):
        (found,) = days.windows([at], NEVER)
        assert all(start <= at < days.end(start) and days.spelled(start) for start in found)
