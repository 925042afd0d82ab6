"""A schedule fires at its times, each once, and does with those it missed what it is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rsq_pipe.connectors.schedule.source import Options, ScheduleSource
from rsq_pipe.connectors.source import Chunk


class Clock:
    """A clock that goes on by itself: each look is a moment later."""

    def __init__(self, text: str, step: float = 0.0) -> None:
        self.now = datetime.fromisoformat(text).replace(tzinfo=UTC)
        self._step = timedelta(seconds=step)

    def __call__(self) -> datetime:
        now, self.now = self.now, self.now + self._step
        return now


def chunks(clock: Clock, position: str, count: int, size: int = 100, **options: Any) -> list[Chunk]:
    reading = iter(ScheduleSource(Options(**options), clock).read("times", position, size))
    return [next(reading) for _ in range(count)]


def times(found: list[Chunk]) -> list[str]:
    return [record["time"] for chunk in found for record in chunk.records]


def test_the_first_run_begins_now_and_says_so_before_anything_fires() -> None:
    first, second = chunks(Clock("2026-03-01T10:00:59.5", 0.6), "", 2, every="1m")

    assert (first.records, first.position) == ([], "2026-03-01T10:00:59Z")
    assert second.records == [{"time": "2026-03-01T10:01:00+00:00", "missed": False}]
    assert (list(second.offsets), second.position) == (["2026-03-01T10:01:00Z"], "2026-03-01T10:01:00Z")


@pytest.mark.parametrize(
    ("catch_up", "fired"),
    [
        ("all", ["10:01:00", "10:02:00", "10:03:00", "10:04:00"]),
        ("last", ["10:03:00", "10:04:00"]),
        ("none", ["10:04:00"]),
    ],
)
def test_missed_times_are_caught_up_with_as_it_says(catch_up: str, fired: list[str]) -> None:
    clock = Clock("2026-03-01T10:03:30", 30)

    reading = iter(
        ScheduleSource(Options.model_validate({"every": "1m", "catch_up": catch_up}), clock).read(
            "times", "2026-03-01T10:00:00Z", 100
        )
    )
    found: list[dict[str, Any]] = []
    while len(found) < len(fired):
        found += next(reading).records

    assert [record["time"][11:19] for record in found] == fired
    assert [record["missed"] for record in found] == [*[True] * (len(fired) - 1), False]


def test_many_missed_times_come_in_chunks_and_go_on_where_they_were() -> None:
    found = chunks(
        Clock("2026-03-01T10:10:30"), "2026-03-01T10:00:00Z", 2, size=3, every="1m", catch_up="all"
    )

    assert [chunk.position[11:19] for chunk in found] == ["10:03:00", "10:06:00"]
    assert len(times(found)) == 6


def test_cron_keeps_to_its_zone_where_daylight_saving_begins_and_ends() -> None:
    options: dict[str, Any] = {"cron": "30 2 * * *", "zone": "Europe/Berlin", "catch_up": "all"}

    spring = times(chunks(Clock("2026-03-30T12:00:00"), "2026-03-27T12:00:00Z", 1, **options))
    autumn = times(chunks(Clock("2026-10-26T12:00:00"), "2026-10-23T12:00:00Z", 1, **options))

    assert [one[:16] for one in spring] == ["2026-03-28T02:30", "2026-03-29T03:00", "2026-03-30T02:30"]
    assert autumn == [
        "2026-10-24T02:30:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "it needs either `cron` or `every`"),
        ({"cron": "* * * * *", "every": "1m"}, "it needs either `cron` or `every`"),
        ({"every": "1500ms"}, "`every` has a part of a second"),
        ({"every": "1m", "zone": "Europe/Berlin"}, "`zone` is for `cron`"),
        ({"cron": "61 * * * *"}, "'61 \\* \\* \\* \\*' is not a line of cron's: bad minute"),
        ({"cron": "* * * * *", "zone": "Mars"}, "there is no time zone 'Mars'"),
    ],
)
def test_what_is_no_schedule_says_why(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Options(**options)
