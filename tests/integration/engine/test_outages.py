"""A server that is away, frozen or full stops nothing but time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from functools import partial

import pytest

from rsq_pipe.errors import DrainTimeoutError
from tests.integration.engine.lab import READ, Lab
from tests.support.object_store import Bucket
from tests.support.server import StreamServer
from tests.support.signals import BUSY, wait_until

COUNT = 2_000
STAGES = f"""
    {READ}
    flaky: {{call: "handlers:flaky"}}
    out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
"""


@pytest.fixture
def busy(own_lab: Lab) -> Lab:
    """A pipeline with every kind of stage, work for some seconds, and retries under way."""
    own_lab.records(range(COUNT))
    own_lab.handlers("""
        import time

        def flaky(record, ctx):
            time.sleep(0.0003)
            if record["n"] % 50 == 0 and ctx.attempt == 1:
                raise RuntimeError("once")
            return record
    """)
    own_lab.spec(STAGES, top="max_backlog: 500")
    return own_lab


async def test_a_server_that_is_killed_and_comes_back_costs_nothing_but_time(
    busy: Lab, own_server: StreamServer
) -> None:
    await busy.redis("CONFIG", "SET", "appendfsync", "always")
    await outlasted(busy, own_server.kill, own_server.start)


async def test_a_server_that_freezes_costs_nothing_but_time(busy: Lab, own_server: StreamServer) -> None:
    await outlasted(busy, own_server.pause, own_server.resume)


@pytest.mark.timeout(200)
async def test_a_server_that_is_away_in_the_middle_of_a_part_doubles_no_object(
    own_lab: Lab, own_server: StreamServer, bucket: Bucket
) -> None:
    login = ", ".join(f"{key}: {json.dumps(value)}" for key, value in bucket.settings.items())
    own_lab.records(range(COUNT))
    own_lab.spec(
        f"""
        {READ}
        out:
          sink:
            {{type: objects, url: "{bucket.url("{part}.jsonl")}", {login},
            rotate: {{records: 30, every: 100ms}}}}
        """,
        top="max_backlog: 60",
    )
    await own_lab.redis("CONFIG", "SET", "appendfsync", "always")
    run = await own_lab.up()
    for _ in range(3):
        before = len(bucket.names())
        await wait_until(partial(more_than, bucket, before), what="some parts")
        own_server.kill()
        await asyncio.wait([run.task], timeout=0.3)
        own_server.start()

    assert (await run.ended(timeout=100)).finished
    found = [json.loads(line)["n"] for data in bucket.objects().values() for line in data.splitlines()]
    assert sorted(found) == list(range(COUNT))


def more_than(bucket: Bucket, parts: int) -> bool:
    return len(bucket.names()) > parts + 2


async def test_a_run_that_is_stopped_while_the_server_is_gone_ends_at_once(
    busy: Lab, own_server: StreamServer
) -> None:
    run = await busy.up(drain_timeout=60)
    await flowing(busy)
    own_server.kill()

    began = time.monotonic()
    assert not (await run.stop()).finished
    assert time.monotonic() - began < BUSY

    own_server.start()


async def test_a_run_that_is_stopped_while_the_server_is_frozen_ends_within_the_drain_timeout(
    busy: Lab, own_server: StreamServer
) -> None:
    run = await busy.up(drain_timeout=1)
    await flowing(busy)
    own_server.pause()

    began = time.monotonic()
    # Where something was being settled, that could not end in time; nothing else may take its time.
    with contextlib.suppress(DrainTimeoutError):
        await run.stop()
    assert time.monotonic() - began < 1 + BUSY

    own_server.resume()


async def test_a_full_server_makes_sources_wait_and_stages_drain(busy: Lab) -> None:
    run = await busy.up()
    await flowing(busy)

    await busy.redis("CONFIG", "SET", "maxmemory", "1mb")  # less than it uses already
    await drained(busy)
    written = len(busy.lines_so_far())
    assert not run.task.done()
    assert written < COUNT

    await busy.redis("CONFIG", "SET", "maxmemory", "0")
    assert (await run.ended()).finished
    assert busy.numbers("out/all.jsonl") == list(range(COUNT))


async def test_a_run_that_begins_on_a_full_server_drains_it(busy: Lab) -> None:
    first = await busy.up()
    await flowing(busy)
    await first.stop()
    await busy.redis("CONFIG", "SET", "maxmemory", "1mb")

    run = await busy.up()
    await drained(busy)
    assert not run.task.done()
    await busy.redis("CONFIG", "SET", "maxmemory", "0")
    assert (await run.ended()).finished
    assert busy.numbers("out/all.jsonl") == list(range(COUNT))


async def test_a_handler_that_hangs_is_left_behind_at_the_drain_timeout_and_its_records_come_back(
    own_lab: Lab,
) -> None:
    own_lab.records(range(20))
    own_lab.handlers("""
        import threading

        hanging, go_on = threading.Event(), threading.Event()

        def hang(record):
            if record["n"] == 10:
                hanging.set()
                go_on.wait(40)
            return record
    """)
    own_lab.spec(f"""
        {READ}
        hang: {{call: "handlers:hang"}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
    """)
    run = await own_lab.up(drain_timeout=0.3)
    await asyncio.to_thread(own_lab.module.hanging.wait, 10)

    began = time.monotonic()
    with pytest.raises(DrainTimeoutError, match="a worker of 'hang' was still busy"):
        await run.stop()
    assert time.monotonic() - began < 0.3 + BUSY

    own_lab.module.go_on.set()
    assert (await own_lab.run()).finished
    assert own_lab.numbers("out/all.jsonl") == list(range(20))


async def outlasted(lab: Lab, stop: Callable[[], object], start: Callable[[], object]) -> None:
    """Run to the end, with the server away for a second in between."""
    run = await lab.up()
    await flowing(lab)

    stop()
    await asyncio.wait([run.task], timeout=1.0)
    start()

    assert (await run.ended()).finished
    assert lab.numbers("out/all.jsonl") == list(range(COUNT))


async def flowing(lab: Lab) -> None:
    await wait_until(lambda: len(lab.lines_so_far()) > 300, what="records come through")


async def drained(lab: Lab) -> None:
    async def idle() -> bool:
        return (await lab.state()).drained

    await wait_until(idle, what="what was in the pipeline is through")
