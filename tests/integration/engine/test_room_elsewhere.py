"""A worker that waits for room hears soon that another process has made it."""

from __future__ import annotations

import asyncio

import pytest

from rsq_pipe.engine.process import Process
from rsq_pipe.engine.state.count_fields import appended, settled
from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab
from tests.support.server import StreamServer


def halted(error: BaseException) -> None:
    raise error


@pytest.fixture
def process(lab: PackedLab) -> Process:
    lab.records([])
    lab.handlers("def work(record): return record")
    lab.spec(f"""
        {READ}
        work: {{call: "handlers:work"}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
    """)
    return Process(lab.client, lab.graph, halted)


async def test_what_other_processes_have_settled_is_read_and_blocked_workers_look_again(
    lab: PackedLab, process: Process
) -> None:
    stream = lab.key("work")
    written, done = appended(stream), settled("out", stream)
    await lab.redis("HSET", lab.key("meta"), written, "70", done, "50")
    looks: list[tuple[int, int]] = []
    process.blocked.add(lambda: looks.append((process.totals[written], process.totals[done])))

    await process.make_room(0.05, asyncio.Event())

    assert set(looks) == {(70, 50)}
    assert len(looks) > 1


async def test_an_answer_that_is_older_than_a_settlement_changes_nothing(
    lab: PackedLab, process: Process
) -> None:
    done = settled("out", lab.key("work"))
    await lab.redis("HSET", lab.key("meta"), done, "50")
    process.totals[done] = 60
    process.blocked.add(lambda: None)

    await process.make_room(0.02, asyncio.Event())

    assert process.totals[done] == 60


async def test_while_no_worker_is_blocked_the_server_is_not_asked(lab: PackedLab, process: Process) -> None:
    await lab.redis("HSET", lab.key("meta"), settled("out", lab.key("work")), "50")

    await process.make_room(0.02, asyncio.Event())

    assert process.totals == {}


async def test_a_stop_ends_the_wait(process: Process) -> None:
    stopping = asyncio.Event()
    stopping.set()

    async with asyncio.timeout(5):
        await process.make_room(3_600, stopping)


async def test_a_server_that_is_gone_is_left_to_the_next_look(
    own_lab: PackedLab, own_server: StreamServer
) -> None:
    own_lab.records([])
    own_lab.spec(f"{READ}\nout: {{sink: {{type: jsonl, path: out/all.jsonl}}}}")
    process = Process(own_lab.client, own_lab.graph, halted)
    process.blocked.add(lambda: None)
    own_server.kill()

    await process.make_room(0.05, asyncio.Event())

    assert process.totals == {}
