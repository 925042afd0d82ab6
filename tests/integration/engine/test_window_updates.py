"""aggregate on a server: results of open windows, and windows that a run leaves open."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from rsq_pipe.errors import SourceError
from tests.integration.engine.aggregating import HOURLY, expected, outside, put, results, stored
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until

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
            "XADD", outside(lab), "*", "data", json.dumps({"k": k, "n": n}), key=outside(lab)
        )


@pytest.mark.parametrize("windows", ["every: 1h, on: n * 60", "gap: 30m, on: n * 60"])
async def test_results_of_open_windows_are_sent_on_when_they_have_changed(
    lab: PackedLab, windows: str
) -> None:
    lab.spec(EMITTING.replace("WINDOWS", windows).replace("STREAM", outside(lab)))
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
    await wait_until(lambda: stored(lab, 300), what="all is stored")
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
    await wait_until(lambda: stored(lab, 300), what="all is stored")
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
