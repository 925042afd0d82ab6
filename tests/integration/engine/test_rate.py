"""`rate` bounds how many records a stage handles, in all processes together, and never holds up a stop."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from rsq_pipe.ops.status import read_status
from tests.integration.engine.lab import READ, Lab
from tests.support.signals import BUSY, wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
HANDLERS = """
    import time

    CALLS = []

    def work(record):
        CALLS.append((time.monotonic(), record["n"]))
        return record
"""
RUNS = 3
"""How often the bound may be passed by a burst: saved up, taken ahead, and cut by where a second begins."""


def most_within(times: list[float], seconds: float) -> int:
    """Count the calls of the busiest time of some seconds."""
    first, most = 0, 0
    for last, at in enumerate(times):
        while at - times[first] > seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def calls(lab: Lab) -> list[float]:
    return sorted(at for at, _ in lab.module.CALLS)


@pytest.fixture
def limited(lab: Lab) -> Lab:
    """A stage that may handle 200 records a second, and has 500."""
    lab.handlers(HANDLERS)
    lab.records(range(500))
    lab.spec(f'{READ}\nwork: {{call: "handlers:work", rate: 200/s}}\n{OUT}')
    return lab


async def test_a_stage_handles_no_more_records_a_second_than_its_rate(limited: Lab) -> None:
    summary = await limited.run()

    times = calls(limited)
    assert limited.numbers("out/all.jsonl") == list(range(500))
    assert summary.stages["work"].received == 500
    assert times[-1] - times[0] > (500 - 20 - 20) / 200, "all but the first burst took its time"
    assert most_within(times, 0.5) <= 100 + RUNS * 20
    assert times[-1] - times[0] < 5, "and it was not held back for much longer"


async def test_all_workers_and_processes_share_the_rate(limited: Lab) -> None:
    text = limited.path.read_text()
    limited.path.write_text(text.replace("rate: 200/s", "rate: 200/s, workers: 2"))

    runs = [await limited.up(), await limited.up()]
    await asyncio.gather(*(run.ended() for run in runs))

    times = calls(limited)
    assert limited.numbers("out/all.jsonl") == list(range(500))
    assert most_within(times, 1.0) <= 200 + RUNS * 20


async def test_packs_of_records_count_as_many_as_they_hold(lab: Lab) -> None:
    lab.handlers(HANDLERS)
    lab.records(range(300))
    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\n{OUT}')
    stopped = await lab.up(stages=["read"])
    await wait_until(lambda: _wrote(lab, 300), what="packs of 50 stand in the stream")
    await stopped.stop()

    lab.spec(f'{READ}\nwork: {{call: "handlers:work", rate: 100/s, burst: 10}}\n{OUT}')
    run = await lab.up(stages=["work"])
    await wait_until(lambda: len(lab.module.CALLS) == 300, what="all were handled")
    await run.stop()

    assert most_within(calls(lab), 0.1) == 50, (
        "a pack written for no rate is handled at once, and paid for after"
    )
    assert calls(lab)[-1] - calls(lab)[0] > (300 - 50 - 10) / 100


async def _wrote(lab: Lab, records: int) -> bool:
    return await lab.records_in("read") == records


async def test_sources_and_sinks_have_rates_too(lab: Lab) -> None:
    lab.records(range(300))
    lab.spec(f"{READ.replace('}}', '}, rate: 200/s}')}\n{OUT}")

    began = time.monotonic()
    await lab.run()
    assert time.monotonic() - began > 260 / 200

    lab.spec(f"{READ}\n{OUT.replace('}}', '}, rate: 200/s}')}")
    began = time.monotonic()
    await lab.run(fresh=True)
    assert time.monotonic() - began > 260 / 200
    assert lab.numbers("out/all.jsonl") == list(range(300))


async def test_a_changed_file_takes_effect_within_a_second(limited: Lab) -> None:
    text = limited.path.read_text()
    limited.path.write_text(text.replace("200/s", "1/h"))
    run = await limited.up()
    await wait_until(lambda: len(limited.module.CALLS) == 1, what="the one record of this hour")
    assert (await read_status(limited.client, limited.graph)).stages[1].limited is not None

    limited.path.write_text(text.replace("200/s", "5000/s"))
    changed = time.monotonic()
    await wait_until(lambda: len(limited.module.CALLS) > 1, what="it goes on")
    assert time.monotonic() - changed < 1 + BUSY
    await run.ended()

    assert limited.numbers("out/all.jsonl") == list(range(500))


async def test_a_changed_file_that_is_wrong_changes_nothing(limited: Lab) -> None:
    run = await limited.up()
    text = limited.path.read_text()
    limited.path.write_text(text.replace("200/s", "0/s"))
    await wait_until(lambda: len(limited.module.CALLS) > 250, what="it goes on")
    assert most_within(calls(limited), 0.5) <= 100 + RUNS * 20
    limited.path.write_text(text)
    await run.ended()


@pytest.mark.parametrize("where", ["read", "work", "out"])
async def test_a_stop_ends_the_waiting_at_once_and_no_delivery_is_counted(lab: Lab, where: str) -> None:
    lab.handlers(HANDLERS)
    lab.records(range(50))
    stages = {"read": READ, "work": 'work: {call: "handlers:work"}', "out": OUT}
    stages[where] = stages[where].rstrip("}").rstrip() + ("}" if where == "work" else "}}")
    stages[where] = stages[where][:-1] + ", rate: 1/h}"
    lab.spec("\n".join(stages.values()))
    run = await lab.up()

    async def waits() -> bool:
        stage = next(one for one in (await read_status(lab.client, lab.graph)).stages if one.name == where)
        return stage.limited is not None

    await wait_until(waits, what="the stage waits for its rate")
    began = time.monotonic()
    summary = await run.stop()

    assert time.monotonic() - began < BUSY
    assert not summary.finished
    if where == "work":
        assert await lab.redis("XPENDING", lab.key("read"), "work", "-", "+", 100) == []
    stages[where] = stages[where].replace("1/h", "1000/s")
    lab.spec("\n".join(stages.values()))
    await lab.run()
    assert lab.numbers("out/all.jsonl") == list(range(50))


async def test_status_says_that_a_stage_is_limited_and_by_what(limited: Lab) -> None:
    run = await limited.up()

    async def found() -> list[str]:
        stages = (await read_status(limited.client, limited.graph)).stages
        return [stage.limited.rate for stage in stages if stage.limited is not None]

    assert await wait_until(found, what="status says so") == ["200/s"]
    await run.ended()
    assert (await read_status(limited.client, limited.graph)).stages[1].limited is None


async def test_waiting_for_the_rate_is_no_part_of_a_calls_timeout_and_keeps_what_it_waits_for(
    lab: Lab,
) -> None:
    lab.handlers(HANDLERS)
    lab.records(range(6))
    lab.spec(
        f'{READ}\nwork: {{call: "handlers:work", rate: 2/s, timeout: 200ms, retry: {{attempts: 1}}}}\n{OUT}',
        top="reclaim: {idle: 300ms}",
    )

    runs = [await lab.up(), await lab.up()]
    await asyncio.gather(*(run.ended() for run in runs))

    assert lab.numbers("out/all.jsonl") == list(range(6))
    assert [n for _, n in lab.module.CALLS] == list(range(6)), "each once, in order"
    assert all(later - earlier > 0.3 for earlier, later in list(pairwise(calls(lab)))[2:])


async def test_the_bucket_is_gone_once_it_is_full(limited: Lab) -> None:
    await limited.run()

    assert await limited.redis("PTTL", limited.key("work:rate")) in {-2, *range(2_000)}
