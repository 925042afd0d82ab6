"""Sessions on a server: a window lasts as long as records follow one another."""

from __future__ import annotations

import asyncio
import json
import random
from itertools import pairwise
from typing import Any

from tests.integration.engine.aggregating import LIVE, PRINT, came, outside, sums
from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until

SESSIONS = f"""
    {READ}
    sessions: {{aggregate: {{by: [k], gap: 10m, on: at * 60, compute: {{count: count(), last: last(n)}}}}}}
    {PRINT}
"""


def put_at(lab: PackedLab, path: str, k: str, *minutes: int) -> None:
    with (lab.root / path).open("a") as file:
        file.writelines(json.dumps({"k": k, "at": at, "n": at}) + "\n" for at in minutes)


def sessions(lab: PackedLab) -> list[tuple[Any, ...]]:
    lines = lab.lines("out/all.jsonl")
    return sorted(
        (line["k"], line["window_start"][11:16], line["window_end"][11:16], line["count"], line["last"])
        for line in lines
    )


async def test_a_session_lasts_as_long_as_records_follow_one_another(lab: PackedLab) -> None:
    put_at(lab, "a.jsonl", "x", 0, 9, 30, 5, 18, 45, 39, 54)
    put_at(lab, "b.jsonl", "y", 100)
    lab.spec(SESSIONS, defaults="defaults: {batch: {size: 2}}")

    await lab.run()

    assert sessions(lab) == [
        ("x", "00:00", "00:28", 4, 18),
        ("x", "00:30", "01:04", 4, 54),
        ("y", "01:40", "01:50", 1, 100),
    ]
    assert await lab.redis("EXISTS", lab.key("sessions:timers"), lab.key("sessions:state:sessions")) == 0
    assert await lab.redis("HGET", lab.key("sessions:state"), "keys") == b"0"


async def test_sessions_end_as_time_goes_on_and_others_of_their_group_stay(lab: PackedLab) -> None:
    stages = LIVE.replace("every: 1h, on: n * 60, IDLE", "gap: 10m, on: n * 60,").replace(
        "STREAM", outside(lab)
    )
    lab.spec(stages)
    run = await lab.up()

    await came(lab, 1, 5, 30, 33)
    await wait_until(lambda: sums(lab) == [(2, 6)], what="the first session has ended")
    await came(lab, 36, 2, 60)
    await wait_until(lambda: len(sums(lab)) == 2, what="the second session has ended")

    await run.stop()
    assert sums(lab) == [(2, 6), (3, 99)]
    assert lab.numbers("out/late.jsonl") == [2]


async def test_all_sessions_of_a_group_leave_in_few_steps_when_the_input_has_ended(lab: PackedLab) -> None:
    put_at(lab, "a.jsonl", "x", *range(0, 1_200 * 20, 20))
    lab.spec(SESSIONS)

    await lab.run()

    assert len(sessions(lab)) == 1_200
    told = await lab.redis("XINFO", "STREAM", lab.key("sessions"))
    assert told[told.index(b"entries-added") + 1] == 3  # packs of at most 500


async def test_many_sessions_of_several_processes_are_those_of_a_plain_loop(lab: PackedLab) -> None:
    draw = random.Random(3)
    minutes = {k: sorted(draw.sample(range(20_000), 900)) for k in "abcde"}
    for k, times in minutes.items():
        for part in range(2):
            put_at(lab, f"{k}{part}.jsonl", k, *times[part::2])
    lab.spec(SESSIONS, top="max_backlog: 400")

    runs = [lab.start() for _ in range(2)]
    await asyncio.gather(*(run.ended() for run in runs))

    wanted: list[tuple[str, int, int]] = []
    for k, times in minutes.items():
        ends = [at for at, after in pairwise(times) if after - at >= 10] + times[-1:]
        starts = [times[0]] + [after for at, after in pairwise(times) if after - at >= 10]
        wanted += [
            (k, sum(start <= at <= end for at in times), end) for start, end in zip(starts, ends, strict=True)
        ]
    found = [(line["k"], line["count"], line["last"]) for line in lab.lines("out/all.jsonl")]
    assert sorted(found) == sorted(wanted)
