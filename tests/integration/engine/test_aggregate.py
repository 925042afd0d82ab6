"""aggregate on a server: when windows close, who is late, and what becomes of them at the end of a run."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from rsq_pipe.errors import HandlerError
from rsq_pipe.ops.status import read_status
from tests.integration.engine.aggregating import (
    HOURLY,
    LIVE,
    PRINT,
    came,
    expected,
    outside,
    put,
    results,
    stored,
    sums,
)
from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until

TOTAL = f"""
    {READ}
    total: {{aggregate: {{by: [k], compute: {{count: count(), sum: sum(n)}}}}}}
    {PRINT}
"""


async def test_all_windows_close_when_all_input_has_ended(lab: PackedLab) -> None:
    put(lab, range(300))
    lab.spec(HOURLY)

    summary = await lab.run()

    assert summary.finished
    assert results(lab) == expected(range(300))
    hourly = summary.stages["hourly"]
    assert (hourly.received, hourly.stored, hourly.emitted, hourly.dropped) == (300, 300, 15, 0)
    assert Counter(line["rid"] for line in lab.lines("out/all.jsonl")).most_common(1)[0][1] == 1
    assert await lab.redis("EXISTS", lab.key("hourly:timers")) == 0
    assert await lab.redis("HGET", lab.key("hourly:state"), "keys") == b"0"


async def test_windows_of_a_stage_that_another_process_runs_close_when_all_input_has_ended(
    lab: PackedLab,
) -> None:
    put(lab, range(300))
    lab.spec(HOURLY)
    below = await lab.up(stages=["hourly", "out"])

    summary = await lab.run(stages=["read"])

    assert summary.finished
    assert results(lab) == expected(range(300))
    await below.stop()


async def test_what_comes_in_another_run_enters_new_windows_and_is_late_for_those_that_closed(
    lab: PackedLab,
) -> None:
    put(lab, range(300))
    lab.spec(HOURLY)
    await lab.run()
    put(lab, range(295, 420))

    again = await lab.run()

    assert again.stages["hourly"].drops == {"late": 5}
    assert results(lab) == {**expected(range(300)), **expected(range(300, 420))}
    assert (await lab.run()).stages["hourly"].received == 0


async def test_without_windows_each_run_gives_results_of_its_own_records_under_another_id(
    lab: PackedLab,
) -> None:
    put(lab, range(30))
    lab.spec(TOTAL)
    await lab.run()
    put(lab, range(30, 36))

    await lab.run()

    found = [(line["rid"], line["k"], line["count"], line["sum"]) for line in lab.lines("out/all.jsonl")]
    first = [(k, 10, sum(range(k, 30, 3))) for k in range(3)]
    second = [(k, 2, 30 + k + 33 + k) for k in range(3)]
    assert sorted(one[1:] for one in found) == sorted(first + second)
    assert len({one[0] for one in found}) == 6
    assert {one[0].split(":")[1] for one in found} == {"0", "1"}


async def test_results_may_be_aggregated_in_turn(lab: PackedLab) -> None:
    put(lab, range(600))
    lab.spec(f"""
        {READ}
        hourly: {{aggregate: {{by: [k], every: 1h, on: n * 60, compute: {{sum: sum(n)}}}}}}
        double: {{map: {{twice: sum * 2}}}}
        all: {{aggregate: {{compute: {{windows: count(), twice: sum(twice), most: last(sum)}}}}}}
        {PRINT}
    """)

    summary = await lab.run()

    (line,) = lab.lines("out/all.jsonl")
    assert (line["windows"], line["twice"]) == (30, 2 * sum(range(600)))
    assert summary.stages["double"].received == summary.stages["hourly"].emitted == 30


async def test_the_next_run_goes_on_with_windows_that_a_killed_process_had_begun_to_close(
    lab: PackedLab,
) -> None:
    put(lab, range(300))
    lab.spec(HOURLY)
    run = await lab.up(stages=["read", "hourly"])
    await wait_until(lambda: stored(lab, 300), what="all is stored")
    await run.abandon()
    # As if it had been killed between the two steps of closing.
    await lab.redis("HSET", lab.key("hourly:state"), "closed", 3 * 3_600_000)

    await lab.run()

    assert results(lab) == expected(range(300))


async def test_several_processes_share_a_stage_and_send_each_result_once(lab: PackedLab) -> None:
    put(lab, range(6_000))
    lab.spec(HOURLY.replace("n * 60", "n * 6"), top="max_backlog: 400")

    runs = [lab.start() for _ in range(3)]
    await asyncio.gather(*(run.ended() for run in runs))

    assert results(lab) == expected(range(6_000), 600)


def live(lab: PackedLab, *, idle: str = "", top: str = "") -> None:
    lab.spec(LIVE.replace("STREAM", outside(lab)).replace("IDLE", idle), top=top)


async def test_a_window_closes_when_later_records_come_and_what_comes_after_that_is_late(
    lab: PackedLab,
) -> None:
    live(lab)
    run = await lab.up()

    await came(lab, 1, 59, 30, 61)
    await wait_until(lambda: sums(lab) == [(3, 90)], what="the first hour is closed")
    await came(lab, 58, 62, 121)
    await wait_until(lambda: len(sums(lab)) == 2, what="the second hour is closed")

    await run.stop()
    assert sums(lab) == [(3, 90), (2, 123)]
    assert lab.numbers("out/late.jsonl") == [58]


async def test_records_may_be_as_late_as_is_said(lab: PackedLab) -> None:
    live(lab, idle="late: 10m,")
    run = await lab.up()

    await came(lab, 1, 59, 69, 58)
    await wait_until(lambda: stored(lab, 4), what="all is stored")
    await came(lab, 70, 57)
    await wait_until(lambda: sums(lab), what="the first hour is closed")

    await run.stop()
    assert sums(lab)[0][0] in (3, 4), "what came as the window closed is in it, or late"
    assert sums(lab)[0][0] + len(lab.numbers("out/late.jsonl")) == 4


async def test_an_input_that_is_idle_holds_no_window_open(lab: PackedLab) -> None:
    live(lab, idle="idle: 200ms,")
    run = await lab.up()

    await came(lab, 1, 59)
    await wait_until(lambda: sums(lab) == [(2, 60)], what="the window is closed")

    await run.stop()


@pytest.mark.parametrize("stage", ["read", "hourly"])
async def test_what_another_worker_has_in_flight_is_never_late(lab: PackedLab, stage: str) -> None:
    live(lab, top="reclaim: {idle: 1s}")
    run = await lab.up(stages=["read"] if stage == "hourly" else ["out"])
    await came(lab, 5)
    stream = lab.key("read") if stage == "hourly" else outside(lab)
    words = ["XREADGROUP", "GROUP", stage, "elsewhere", "STREAMS", stream, ">"]
    await wait_until(
        lambda: lab.client.channel.execute(*words, key=stream), what="another worker has the record"
    )
    await run.stop()

    run = await lab.up()
    await came(lab, 6, 70, 200)
    await wait_until(lambda: len(sums(lab)) == 2, what="both hours are closed")

    await run.stop()
    assert sums(lab) == [(2, 11), (1, 70)]
    assert lab.lines("out/late.jsonl") == []


async def test_a_retry_above_is_waited_for(lab: PackedLab) -> None:
    lab.handlers("""
        def once(record, ctx):
            if record["n"] == 5 and ctx.attempt == 1:
                raise ConnectionError("not yet")
            return record
    """)
    stages = LIVE.replace("STREAM", outside(lab)).replace("IDLE", "")
    head, hourly, *rest = stages.strip().splitlines()
    lab.spec("\n".join([f"    {head}", '    once: {call: "handlers:once"}', hourly, *rest]))
    run = await lab.up()

    await came(lab, 5, 6, 70)
    await wait_until(lambda: sums(lab), what="the first hour is closed")

    await run.stop()
    assert sums(lab) == [(2, 11)]


async def test_more_groups_than_may_be_open_stop_the_stage(lab: PackedLab) -> None:
    lab.records(range(100))
    lab.spec(f"""
        {READ}
        total: {{aggregate: {{by: [n], max_keys: 50, compute: {{count: count()}}}}}}
        {PRINT}
    """)

    with pytest.raises(HandlerError, match=r"stage 'total' .*50 .*max_keys"):
        await lab.run()


async def test_pure_stages_below_run_with_what_closes_windows(lab: PackedLab) -> None:
    put(lab, range(120))
    lab.spec(f"""
        {READ}
        hourly: {{aggregate: {{by: [k], every: 1h, on: n * 60, compute: {{sum: sum(n)}}, having: k != 1}}}}
        tidy: {{map: {{mean: sum / 20}}}}
        some: {{filter: k == 2}}
        {PRINT}
    """)

    summary = await lab.run()

    assert [line["mean"] for line in lab.lines("out/all.jsonl")] == [30.5, 90.5]
    assert summary.stages["hourly"].drops == {"having": 2}
    assert (summary.stages["tidy"].received, summary.stages["some"].dropped) == (4, 2)
    assert await lab.redis("XLEN", lab.key("hourly")) == 0


async def test_status_tells_of_open_windows_and_how_far_the_time_has_come(lab: PackedLab) -> None:
    live(lab, idle="late: 5m,")
    run = await lab.up()
    await came(lab, 1, 65)
    await wait_until(lambda: sums(lab) == [(1, 1)], what="the first hour is closed")

    status = await read_status(lab.client, lab.graph)

    await run.stop()
    windows = {stage.name: stage.windows for stage in status.stages}
    assert windows["out"] is None
    found = windows["hourly"]
    assert found is not None
    assert (found.watermark, found.closed) == ("1970-01-01T01:00:00Z", "1970-01-01T01:00:00Z")
    assert found.behind_seconds == pytest.approx(status.at - 3600)
    assert (found.open, found.groups) == (1, 1)
