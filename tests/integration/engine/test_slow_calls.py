"""A stop in the middle of a batch of slow calls keeps what is done, and leaves the rest to the next run."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from aiohttp import web

from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until
from tests.support.web_service import WebService

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
RECORDS = 100

HANDLERS = """
    import asyncio
    import time

    from rsq_pipe import batch_handler

    def called(record, ctx):
        with (ctx.root / "calls").open("a") as calls:
            calls.write(f"{record['n']}\\n")
        return 0 if (ctx.root / "quick").exists() else 0.05

    def work(record, ctx):
        time.sleep(called(record, ctx))
        return record

    async def wait(record, ctx):
        await asyncio.sleep(called(record, ctx))
        return record

    @batch_handler
    def together(records, ctx):
        return [work(record, ctx) for record in records]

    def touch(record):
        return record
"""


@pytest.mark.parametrize(
    "stages",
    [
        "work: {call: 'handlers:work'}",
        "work: {call: 'handlers:wait'}",
        "work: {call: 'handlers:wait', concurrency: 3}",
        "work: {call: 'handlers:together', batch: {size: 10}}",
        "first: {call: 'handlers:touch'}\n        work: {call: 'handlers:work', fuse: true}",
        "work: {call: 'handlers:work'}\n        last: {call: 'handlers:touch', fuse: true}",
    ],
)
async def test_a_call_that_ended_is_settled_and_one_that_had_not_begun_is_made_by_the_next_run(
    lab: PackedLab, stages: str
) -> None:
    lab.records(range(RECORDS))
    lab.handlers(HANDLERS)
    lab.spec(f"\n        {READ}\n        {stages}\n        {OUT}\n")
    calls = lab.root / "calls"
    calls.touch()
    run = await lab.up(drain_timeout=1)
    await wait_until(lambda: len(calls.read_text().split()) >= 5, what="the handler is called")

    await run.stop()

    called = len(calls.read_text().split())
    assert called < RECORDS
    counted = {what: int(await lab.field(f"work:{what}") or 0) for what in ("in", "out", "retried")}
    assert counted == {"in": called, "out": called, "retried": 0}, "no attempt failed"
    held = [stage for name, stage in (await lab.state()).stages.items() if name not in ("last", "out")]
    assert sum(stage.backlog for stage in held) == RECORDS - called
    assert sum(stage.retry for stage in held) == 0, "what is left waits for its first attempt"
    (lab.root / "quick").touch()
    summary = await lab.run()
    assert (summary.stages["work"].records, summary.stages["work"].retried) == (RECORDS - called, 0)
    assert sorted(map(int, calls.read_text().split())) == list(range(RECORDS))
    assert sorted(lab.numbers("out/all.jsonl")) == list(range(RECORDS))
    assert summary.dead == 0


async def test_a_request_that_was_answered_is_settled_and_one_that_had_not_begun_is_sent_by_the_next_run(
    lab: PackedLab,
) -> None:
    seconds, sent = [0.05], list[int]()

    async def answer(request: web.Request) -> web.Response:
        sent.append((await request.json())["n"])
        await asyncio.sleep(seconds[0])
        return web.Response()

    lab.records(range(RECORDS))
    with WebService(answer) as service:
        sink = f"type: http, url: '{service.url}', body: record, concurrency: 1"
        lab.spec(f"{READ}\nout: {{sink: {{{sink}}}}}")
        run = await lab.up(drain_timeout=1)
        await wait_until(lambda: len(sent) >= 5, what="requests are sent")

        await run.stop()

        assert len(sent) < RECORDS
        seconds[0] = 0
        await lab.run()
    assert sorted(sent) == list(range(RECORDS))


async def test_records_of_a_slow_handler_count_a_few_at_a_time_from_the_first_second_on(
    lab: PackedLab,
) -> None:
    lab.records(range(300))
    lab.handlers("""
        import time

        def work(record):
            time.sleep(0.02)
            return record
    """)
    lab.spec(f"{READ}\nwork: {{call: 'handlers:work'}}\n{OUT}")

    seen = [0]
    run = await lab.up()
    while seen[-1] < 100:
        await wait_until(lambda: counted(lab, seen), what="more records are settled")

    assert max(after - before for before, after in pairwise(seen)) <= 60, seen
    await run.stop()


async def counted(lab: PackedLab, seen: list[int]) -> bool:
    number = int(await lab.field("work:in") or 0)
    if number > seen[-1]:
        seen.append(number)
        return True
    return False
