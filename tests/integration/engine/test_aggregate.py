"""aggregate on a server: when windows close, who is late, and what becomes of them at the end of a run."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from rsq_pipe.errors import HandlerError, SourceError
from rsq_pipe.ops.status import look
from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until

PRINT = "out: {sink: {type: jsonl, path: out/all.jsonl, rid: true}}"
HOURLY = f"""
    {READ}
    hourly: {{aggregate: {{by: [k], every: 1h, on: n * 60, compute: {{count: count(), sum: sum(n)}}}}}}
    {PRINT}
"""
TOTAL = f"""
    {READ}
    total: {{aggregate: {{by: [k], compute: {{count: count(), sum: sum(n)}}}}}}
    {PRINT}
"""
LIVE = """
    read: {source: {type: stream, stream: "STREAM"}}
    hourly: {aggregate: {every: 1h, on: n * 60, IDLE compute: {count: count(), sum: sum(n)}}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
    late: {from: hourly.late, sink: {type: jsonl, path: out/late.jsonl}}
"""


def expected(numbers: range, size: int = 60) -> dict[Any, Any]:
    """Hour and group -> count and sum, of records {n, k: n % 3} at minute n."""
    found: dict[Any, list[int]] = {}
    for n in numbers:
        found.setdefault((n // size, n % 3), []).append(n)
    return {key: (len(some), sum(some)) for key, some in found.items()}


def results(lab: PackedLab) -> dict[Any, Any]:
    lines = lab.lines("out/all.jsonl")
    found = {(int(line["window_start"][11:13]), line["k"]): (line["count"], line["sum"]) for line in lines}
    assert len(found) == len(lines), "a result came twice"
    return found


def put(lab: PackedLab, numbers: range) -> None:
    for k in range(3):
        lab.records((n for n in numbers if n % 3 == k), path=f"{numbers.start}-{k}.jsonl", k=k)


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
    await wait_until(lambda: _stored(lab, 300), what="all is stored")
    await run.abandon()
    # As if it had been killed between the two steps of closing.
    await lab.redis("HSET", lab.key("hourly:state"), "closed", 3 * 3_600_000)

    await lab.run()

    assert results(lab) == expected(range(300))


async def _stored(lab: PackedLab, count: int) -> bool:
    return (await lab.state()).counters.get("hourly:stored", 0) == count


async def test_several_processes_share_a_stage_and_send_each_result_once(lab: PackedLab) -> None:
    put(lab, range(6_000))
    lab.spec(HOURLY.replace("n * 60", "n * 6"), top="max_backlog: 400")

    runs = [lab.start() for _ in range(3)]
    await asyncio.gather(*(run.ended() for run in runs))

    assert results(lab) == expected(range(6_000), 600)


def _live(lab: PackedLab, *, idle: str = "", top: str = "") -> None:
    lab.spec(LIVE.replace("STREAM", _outside(lab)).replace("IDLE", idle), top=top)


def _outside(lab: PackedLab) -> str:
    return f"{lab.pipeline}-outside"


async def _came(lab: PackedLab, *numbers: int) -> None:
    for n in numbers:
        await lab.client.channel.execute(
            "XADD", _outside(lab), "*", "data", json.dumps({"n": n}), key=_outside(lab)
        )


def _sums(lab: PackedLab) -> list[tuple[int, int]]:
    return [(json.loads(line)["count"], json.loads(line)["sum"]) for line in lab.lines_so_far()]


async def test_a_window_closes_when_later_records_come_and_what_comes_after_that_is_late(
    lab: PackedLab,
) -> None:
    _live(lab)
    run = await lab.up()

    await _came(lab, 1, 59, 30, 61)
    await wait_until(lambda: _sums(lab) == [(3, 90)], what="the first hour is closed")
    await _came(lab, 58, 62, 121)
    await wait_until(lambda: len(_sums(lab)) == 2, what="the second hour is closed")

    await run.stop()
    assert _sums(lab) == [(3, 90), (2, 123)]
    assert lab.numbers("out/late.jsonl") == [58]


async def test_records_may_be_as_late_as_is_said(lab: PackedLab) -> None:
    _live(lab, idle="late: 10m,")
    run = await lab.up()

    await _came(lab, 1, 59, 69, 58)
    await wait_until(lambda: _stored(lab, 4), what="all is stored")
    await _came(lab, 70, 57)
    await wait_until(lambda: _sums(lab), what="the first hour is closed")

    await run.stop()
    assert _sums(lab)[0][0] in (3, 4), "what came as the window closed is in it, or late"
    assert _sums(lab)[0][0] + len(lab.numbers("out/late.jsonl")) == 4


async def test_an_input_that_is_idle_holds_no_window_open(lab: PackedLab) -> None:
    _live(lab, idle="idle: 200ms,")
    run = await lab.up()

    await _came(lab, 1, 59)
    await wait_until(lambda: _sums(lab) == [(2, 60)], what="the window is closed")

    await run.stop()


@pytest.mark.parametrize("stage", ["read", "hourly"])
async def test_what_another_worker_has_in_flight_is_never_late(lab: PackedLab, stage: str) -> None:
    _live(lab, top="reclaim: {idle: 1s}")
    run = await lab.up(stages=["read"] if stage == "hourly" else ["out"])
    await _came(lab, 5)
    stream = lab.key("read") if stage == "hourly" else _outside(lab)
    words = ["XREADGROUP", "GROUP", stage, "elsewhere", "STREAMS", stream, ">"]
    await wait_until(
        lambda: lab.client.channel.execute(*words, key=stream), what="another worker has the record"
    )
    await run.stop()

    run = await lab.up()
    await _came(lab, 6, 70, 200)
    await wait_until(lambda: len(_sums(lab)) == 2, what="both hours are closed")

    await run.stop()
    assert _sums(lab) == [(2, 11), (1, 70)]
    assert lab.lines("out/late.jsonl") == []


async def test_a_retry_above_is_waited_for(lab: PackedLab) -> None:
    lab.handlers("""
        def once(record, ctx):
            if record["n"] == 5 and ctx.attempt == 1:
                raise ConnectionError("not yet")
            return record
    """)
    stages = LIVE.replace("STREAM", _outside(lab)).replace("IDLE", "")
    head, hourly, *rest = stages.strip().splitlines()
    lab.spec("\n".join([f"    {head}", '    once: {call: "handlers:once"}', hourly, *rest]))
    run = await lab.up()

    await _came(lab, 5, 6, 70)
    await wait_until(lambda: _sums(lab), what="the first hour is closed")

    await run.stop()
    assert _sums(lab) == [(2, 11)]


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
    _live(lab, idle="late: 5m,")
    run = await lab.up()
    await _came(lab, 1, 65)
    await wait_until(lambda: _sums(lab) == [(1, 1)], what="the first hour is closed")

    status = await look(lab.client, lab.graph)

    await run.stop()
    windows = {stage.name: stage.windows for stage in status.stages}
    assert windows["out"] is None
    found = windows["hourly"]
    assert found is not None
    assert (found.watermark, found.closed) == ("1970-01-01T01:00:00Z", "1970-01-01T01:00:00Z")
    assert found.behind_seconds == pytest.approx(status.at - 3600)
    assert (found.open, found.groups) == (1, 1)


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
        "STREAM", _outside(lab)
    )
    lab.spec(stages)
    run = await lab.up()

    await _came(lab, 1, 5, 30, 33)
    await wait_until(lambda: _sums(lab) == [(2, 6)], what="the first session has ended")
    await _came(lab, 36, 2, 60)
    await wait_until(lambda: len(_sums(lab)) == 2, what="the second session has ended")

    await run.stop()
    assert _sums(lab) == [(2, 6), (3, 99)]
    assert lab.numbers("out/late.jsonl") == [2]


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


EMITTING = """
    read: {source: {type: stream, stream: "STREAM"}}
    hourly: {aggregate: {by: [k], WINDOWS, emit: 100ms, compute: {count: count(), sum: sum(n)}}}
    out: {sink: {type: jsonl, path: out/all.jsonl, rid: true}}
"""


def updates(lab: PackedLab) -> list[tuple[Any, ...]]:
    lines = [json.loads(line) for line in lab.lines_so_far()]
    return [(line["k"], line["count"], line["sum"], line["final"]) for line in lines]


async def _came_of(lab: PackedLab, *records: tuple[str, int]) -> None:
    for k, n in records:
        await lab.client.channel.execute(
            "XADD", _outside(lab), "*", "data", json.dumps({"k": k, "n": n}), key=_outside(lab)
        )


@pytest.mark.parametrize("windows", ["every: 1h, on: n * 60", "gap: 30m, on: n * 60"])
async def test_results_of_open_windows_are_sent_on_when_they_have_changed(
    lab: PackedLab, windows: str
) -> None:
    lab.spec(EMITTING.replace("WINDOWS", windows).replace("STREAM", _outside(lab)))
    run = await lab.up()

    await _came_of(lab, ("a", 1), ("b", 2))
    await wait_until(lambda: len(updates(lab)) == 2, what="both groups are sent on")
    await _came_of(lab, ("a", 3))
    await wait_until(lambda: len(updates(lab)) == 3, what="the one that has changed is sent on again")
    await _came_of(lab, ("c", 200))
    await wait_until(lambda: sum(one[3] for one in updates(lab)) == 2, what="the windows have closed")
    await wait_until(lambda: len(updates(lab)) == 6, what="the last group is sent on")

    await run.stop()
    found = updates(lab)
    assert sorted(found[:2]) == [("a", 1, 1, False), ("b", 1, 2, False)]
    assert found[2] == ("a", 2, 4, False)
    assert sorted(found[3:]) == [("a", 2, 4, True), ("b", 1, 2, True), ("c", 1, 200, False)]
    assert len({line["rid"] for line in lab.lines("out/all.jsonl")}) == 6


async def test_at_the_end_of_all_input_each_group_has_one_last_result(lab: PackedLab) -> None:
    put(lab, range(3_000))
    lab.spec(HOURLY.replace("every: 1h", "emit: 100ms, every: 1h"), top="max_backlog: 100")

    await lab.run()

    lines = lab.lines("out/all.jsonl")
    last = {(line["window_start"], line["k"]): line for line in lines if line["final"]}
    assert len(last) == sum(line["final"] for line in lines) == 150
    assert sum(line["count"] for line in last.values()) == 3_000
    assert await lab.redis("EXISTS", lab.key("hourly:timers")) == 0
    assert await lab.redis("HGET", lab.key("hourly:state"), "keys") == b"0"
    for line in lines:
        assert line["count"] <= last[line["window_start"], line["k"]]["count"]


async def test_what_was_noted_for_the_next_round_is_forgotten_where_the_file_says_nothing_of_it_any_more(
    lab: PackedLab,
) -> None:
    put(lab, range(300))
    lab.spec(HOURLY.replace("every: 1h", "emit: 1h, every: 1h"))
    run = await lab.up(stages=["read"])
    await wait_until(lambda: _drained_into(lab, 300), what="all is read")
    await run.stop()
    await lab.redis("HSET", lab.key("hourly:state"), "emitted", 1 << 50)
    run = await lab.up(stages=["hourly"])
    await wait_until(lambda: _stored(lab, 300), what="all is stored")
    await run.stop()
    lab.spec(HOURLY)

    await lab.run()

    assert results(lab) == expected(range(300))
    assert await lab.redis("EXISTS", lab.key("hourly:timers")) == 0


async def test_a_fresh_run_forgets_what_was_in_windows(lab: PackedLab) -> None:
    put(lab, range(300))
    lab.spec(HOURLY)
    run = await lab.up(stages=["read"])
    await wait_until(lambda: _drained_into(lab, 300), what="all is read")
    await run.stop()
    run = await lab.up(stages=["hourly"])
    await wait_until(lambda: _stored(lab, 300), what="all is stored")
    await run.stop()
    assert await lab.redis("ZCARD", lab.key("hourly:timers")) == 5

    await lab.run(fresh=True)

    assert results(lab) == expected(range(300))


async def _drained_into(lab: PackedLab, count: int) -> bool:
    return (await lab.state()).counters.get("read:out", 0) == count


async def test_a_source_that_cannot_be_read_to_its_end_leaves_windows_open_for_the_next_run(
    lab: PackedLab,
) -> None:
    put(lab, range(200))
    bad = lab.root / "zzz.jsonl.gz"
    bad.write_bytes(b"no gz at all")
    lab.spec(HOURLY.replace("'*.jsonl'", "['*.jsonl', '*.jsonl.gz']"))

    with pytest.raises(SourceError):
        await lab.run()

    assert lab.lines("out/all.jsonl") == []
    rest = "".join(json.dumps({"n": n, "k": n % 3}) + "\n" for n in range(200, 300))
    bad.write_bytes(gzip.compress(rest.encode()))
    await lab.run()
    assert results(lab) == expected(range(300))
