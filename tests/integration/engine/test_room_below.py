"""`max_backlog` bounds the streams below in records, and a worker that waits for room keeps nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from rsq_pipe.engine.changes import provision
from rsq_pipe.engine.state.count_fields import appended, settled
from tests.integration.engine.lab import READ
from tests.integration.engine.leftovers import name_of_the_dead
from tests.integration.engine.packed import PackedLab
from tests.support.command_line import start

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"


async def test_an_entry_in_its_last_delivery_that_waits_for_room_keeps_nobody_from_making_room(
    lab: PackedLab,
) -> None:
    lab.records([])
    lab.handlers("def work(record): return record")
    lab.spec(
        f"""
        {READ}
        work: {{call: "handlers:work", retry: {{deliveries: 3}}}}
        {OUT}
        """,
        top="max_backlog: 10",
    )
    await provision.lay(lab.client, lab.graph)
    again, dead = lab.key("work:again"), name_of_the_dead("work")
    await lab.append("work", 20)  # the stream below is full
    await lab.redis("XADD", again, "*", "data", '{"n": 20}', "rsq-rid", "read:20")
    reply = await lab.redis("XREADGROUP", "GROUP", "work", dead, "STREAMS", again, ">")
    ((entry_id, _),) = reply[0][1]
    await lab.redis("XCLAIM", again, "work", dead, 0, entry_id, "RETRYCOUNT", 2)

    summary = await lab.run()

    assert summary.finished
    assert lab.numbers("out/all.jsonl") == list(range(21))


BACKLOG, BATCH, CHILDREN, RECORDS = 1_000, 10, 100, 150


@pytest.fixture
def splitting(lab: PackedLab) -> PackedLab:
    """A pipeline that makes a hundred records of each, faster than they are taken on."""
    lab.records(range(RECORDS))
    lab.handlers(f"""
        import time
        from rsq_pipe import batch_handler

        def split(record):
            return [{{"n": record["n"] * {CHILDREN} + part}} for part in range({CHILDREN})]

        @batch_handler
        def slow(records):
            time.sleep(0.005)
            return records
    """)
    return lab


def split_by(workers: int) -> str:
    return f"""
        {READ}
        split: {{call: "handlers:split", workers: {workers}, batch: {{size: {BATCH}}}}}
        slow: {{call: "handlers:slow", batch: {{size: 50}}}}
        {OUT}
    """


async def peak(lab: PackedLab, ended: Callable[[], bool]) -> int:
    """Watch how many records the stream below the split holds at most, as its settlements count them."""
    stream, highest = lab.key("split"), 0
    while not ended():
        written, done = await lab.redis("HMGET", lab.key("meta"), appended(stream), settled("slow", stream))
        highest = max(highest, int(written or 0) - int(done or 0))
        await asyncio.sleep(0.001)
    return highest


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_split_passes_the_bound_in_records_by_one_settlement_a_worker_at_most(
    splitting: PackedLab, workers: int
) -> None:
    splitting.spec(split_by(workers), top=f"max_backlog: {BACKLOG}")
    run = await splitting.up()

    highest = await peak(splitting, run.task.done)

    assert (await run.ended()).finished
    assert BACKLOG / 2 < highest <= BACKLOG + workers * BATCH * CHILDREN
    assert splitting.numbers("out/all.jsonl") == list(range(RECORDS * CHILDREN))


async def test_processes_together_pass_the_bound_by_one_settlement_each_at_most(
    splitting: PackedLab,
) -> None:
    splitting.spec(split_by(1), top=f"max_backlog: {BACKLOG}")
    command = ("run", splitting.path, "--redis", splitting.url)
    with ExitStack() as ends:
        processes = [start(*command, cwd=splitting.root) for _ in range(2)]
        for process in processes:
            ends.callback(process.communicate)
            ends.callback(process.kill)

        highest = await asyncio.wait_for(
            peak(splitting, lambda: all(process.poll() is not None for process in processes)), 50
        )

        assert [process.returncode for process in processes] == [0, 0]
    assert BACKLOG / 2 < highest <= BACKLOG + 2 * BATCH * CHILDREN
    assert splitting.numbers("out/all.jsonl") == list(range(RECORDS * CHILDREN))
