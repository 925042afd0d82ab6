"""Streams stay bounded at any difference of speed, and only what everybody acknowledged is trimmed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from rsq_pipe.ops.hold import pause, resume
from tests.integration.engine.lab import READ, Lab
from tests.support.signals import wait_until

BACKLOG, BATCH, COUNT = 400, 50, 2_500


@pytest.fixture
def narrow(lab: Lab) -> Lab:
    """A pipeline whose last stage takes a hundred times as long as the others, with streams between all."""
    lab.records(range(COUNT), text="x" * 200)
    lab.handlers("""
        import time

        def slow(record):
            time.sleep(0.0005)
            return record
    """)
    lab.spec(
        f"""
        {READ}
        copy: {{map: {{m: n}}, workers: 2, fuse: false}}
        slow: {{call: "handlers:slow"}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        """,
        top=f"max_backlog: {BACKLOG}",
    )
    return lab


async def test_no_stream_outgrows_its_backlog_by_more_than_a_batch_or_two_a_writer(narrow: Lab) -> None:
    run = await narrow.up()
    backlogs, lengths = [], []

    while not run.task.done():
        backlogs.append((await narrow.state()).backlog)
        lengths.append(await narrow.records_in("copy"))
        await asyncio.wait([run.task], timeout=0.005)

    await run.ended()
    assert narrow.numbers("out/all.jsonl") == list(range(COUNT))
    highest = {name: max(backlog[narrow.key(name)] for backlog in backlogs) for name in ("read", "copy")}
    assert highest["read"] <= BACKLOG + 2 * BATCH
    assert highest["copy"] <= BACKLOG + 2 * 2 * BATCH
    assert highest["copy"] > BACKLOG / 2, "the source was not held back, so nothing was tested"
    # Beside what is needed, a stream holds what was acknowledged since the last trim.
    assert max(lengths) < COUNT


async def test_a_stage_that_waits_with_retries_holds_back_what_feeds_it(lab: Lab) -> None:
    lab.records(range(3_000))
    lab.handlers("def broken(record):\n    raise RuntimeError('down')")
    lab.spec(
        f"""
        {READ}
        broken:
          call: "handlers:broken"
          breaker: false
          retry: {{attempts: 9, backoff: {{first: 60s, max: 60s}}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        """,
        top=f"max_backlog: {BACKLOG}",
    )
    run = await lab.up()

    async def waiting() -> bool:
        return (await lab.state()).stages["broken"].retry >= BACKLOG

    await wait_until(waiting, what="the stage is full of retries")
    before = await lab.redis("HGET", lab.key("meta"), "read:out")
    await asyncio.wait([run.task], timeout=0.3)

    assert await lab.redis("HGET", lab.key("meta"), "read:out") == before
    assert int(before) <= BACKLOG + 2 * BATCH
    await run.stop()


async def test_the_process_and_the_server_stay_small_at_any_difference_of_speed(narrow: Lab) -> None:
    narrow.records(range(COUNT, 20_000), text="x" * 2_000)
    run = await narrow.up()

    async def reading() -> bool:
        return len(narrow.lines_so_far()) > 0

    await wait_until(reading, what="records come through")
    before = _resident()
    used = []
    for _ in range(30):
        used.append(await _used_memory(narrow))
        await asyncio.wait([run.task], timeout=0.05)
    await run.stop()

    assert max(used) - min(used) < 16 << 20
    assert _resident() - before < 48 << 20


async def test_what_every_group_acknowledged_is_trimmed(lab: Lab) -> None:
    lab.records(range(500))
    lab.spec(f"{READ}\nout: {{sink: {{type: jsonl, path: out/all.jsonl}}}}")

    await lab.run()

    assert await lab.redis("XLEN", lab.key("read")) == 0


async def test_what_one_group_still_needs_is_not_trimmed(lab: Lab) -> None:
    lab.records(range(500))
    lab.spec(f"""
        {READ}
        quick: {{from: read, sink: {{type: jsonl, path: out/quick.jsonl}}}}
        later: {{from: read, sink: {{type: jsonl, path: out/later.jsonl}}}}
    """)
    run = await lab.up(stages=["read", "quick"])

    async def quick_is_done() -> bool:
        return (await lab.state()).stages["quick"].idle and len(lab.lines_so_far("out/quick.jsonl")) == 500

    await wait_until(quick_is_done, what="one of two groups has read it all")
    await run.stop()
    assert await lab.records_in("read") == 500

    await lab.run()
    assert lab.numbers("out/later.jsonl") == list(range(500))
    assert await lab.redis("XLEN", lab.key("read")) == 0


async def test_a_reader_that_stands_still_holds_the_others_until_the_bound_is_raised(lab: Lab) -> None:
    stages = f"""
        {READ}
        quick: {{from: read, sink: {{type: jsonl, path: out/quick.jsonl}}}}
        later: {{from: read, sink: {{type: jsonl, path: out/later.jsonl}}}}
    """
    lab.records(range(COUNT))
    lab.spec(stages, top=f"max_backlog: {BACKLOG}")
    await pause(lab.client, lab.graph, "later", "its database is away")
    run = await lab.up()

    async def quick_waits() -> bool:
        state = await lab.state()
        return state.stages["quick"].idle and state.backlog[lab.key("read")] >= BACKLOG

    await wait_until(quick_waits, what="the reader that works has nothing to do")
    await run.stop()
    assert len(lab.lines_so_far("out/quick.jsonl")) < COUNT / 2

    lab.spec(stages, top=f"max_backlog: {2 * COUNT}")
    run = await lab.up()
    await wait_until(lambda: len(lab.lines_so_far("out/quick.jsonl")) == COUNT, what="it has read it all")
    await resume(lab.client, lab.graph, "later")
    await run.ended()
    assert lab.numbers("out/later.jsonl") == lab.numbers("out/quick.jsonl") == list(range(COUNT))


async def test_a_reader_without_a_breaker_that_always_fails_holds_nobody(lab: Lab) -> None:
    lab.records(range(COUNT))
    lab.handlers("def load(record): raise ConnectionError('the service is down')")
    lab.spec(
        f"""
        {READ}
        quick: {{from: read, sink: {{type: jsonl, path: out/quick.jsonl}}}}
        load: {{from: read, call: "handlers:load", to: none, breaker: false, retry: {{attempts: 1}}}}
        """,
        top=f"max_backlog: {BACKLOG}",
    )

    await lab.run()

    assert lab.numbers("out/quick.jsonl") == list(range(COUNT))
    assert len(await lab.dead_letters("load")) == COUNT


async def test_keep_holds_what_was_acknowledged(lab: Lab) -> None:
    lab.records(range(500))
    lab.spec(f"{READ}\nout: {{sink: {{type: jsonl, path: out/all.jsonl}}}}", top="keep: 1h")

    await lab.run()

    assert await lab.records_in("read") == 500


async def _used_memory(lab: Lab) -> int:
    text: bytes = await lab.redis("INFO", "memory")
    (line,) = [line for line in text.decode().splitlines() if line.startswith("used_memory:")]
    return int(line.partition(":")[2])


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
