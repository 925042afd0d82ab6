"""A source or a sink that another process takes over writes nothing more."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from rsq_pipe.connectors.files.file_target import FileTarget
from rsq_pipe.errors import ServerUnavailableError
from rsq_pipe.streams.settlement import Settled, Settlement
from tests.integration.engine.lab import READ, Lab
from tests.integration.engine.resuming import OUT, PLAIN, SLOW, SLOWLY, written
from tests.support.signals import wait_until


async def test_a_source_and_a_sink_that_stand_by_take_over(lab: Lab) -> None:
    lab.records(range(3_000))
    lab.spec(PLAIN, top="max_backlog: 200")
    first = lab.start()
    await written(lab, 100)
    second = await lab.up()

    assert not (await first.stop()).finished
    summary = await second.ended()

    assert summary.finished
    assert lab.numbers("out/all.jsonl") == list(range(3_000))


async def test_a_sink_whose_target_another_process_took_over_stands_by_and_ends_no_run(lab: Lab) -> None:
    lab.records(range(2_000))
    lab.spec(PLAIN, top="max_backlog: 200")
    run = await lab.up()
    await written(lab, 200)
    lease, field = lab.key("out:lease:out/all.jsonl"), "position:out:out/all.jsonl"

    # As it looks to a process that was paused for longer than its lease.
    epoch = await lab.redis("INCR", f"{lease}:epoch")
    await lab.redis("SET", lease, "somebody", "PX", 700)
    # In one step: a position that was read before another batch is settled would lose that one.
    take = "local p = redis.call('HGET', KEYS[1], ARGV[1]):match('|.*') "
    take += "return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. p)"
    await lab.redis("EVAL", take, 1, lab.key("meta"), field, epoch)

    def stands_by() -> bool:
        return any("standing by" in line["event"] for line in logs)

    with capture_logs() as logs:
        await wait_until(stands_by, what="it stands by")
    assert any("another process took over" in line["event"] for line in logs)
    assert not run.task.done()
    assert (await run.ended()).finished
    assert lab.numbers("out/all.jsonl") == list(range(2_000))


async def test_nothing_is_acknowledged_to_a_writer_whose_successor_has_begun_to_open_the_file(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.records(range(3_000))
    lab.handlers(SLOWLY)
    lab.spec(SLOW, top="max_backlog: 200\nreclaim: {idle: 300ms}")
    first = await lab.up()
    await written(lab, 200)
    opening, delayed = FileTarget.open, threading.Event()

    def slowly(target: FileTarget, *args: Any, **settings: Any) -> None:
        # As the copying of a large file: the first writer does not know yet that it has a successor.
        before, end = len(lab.lines_so_far()), time.monotonic() + 1.0
        while not delayed.is_set() and len(lab.lines_so_far()) < before + 60 and time.monotonic() < end:
            time.sleep(0.01)
        delayed.set()
        opening(target, *args, **settings)

    monkeypatch.setattr(FileTarget, "open", slowly)
    await lab.redis("DEL", lab.key("out:lease:out/all.jsonl"))  # it lapsed, in a pause of the server
    second = await lab.up()

    assert (await first.ended()).finished
    assert (await second.ended()).finished
    assert delayed.is_set()
    assert lab.numbers("out/all.jsonl") == list(range(3_000))
    await lab.run()


async def test_lines_whose_settlement_failed_are_not_committed_by_the_next_batch(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.records(range(10))
    # Single entries: a pack that comes back is split, and its lines are not written by the next batch.
    lab.spec(f"{READ[:-1]}, batch: {{size: 1}}}}\n{OUT}", defaults="defaults: {batch: {size: 5}}")
    await _only_read(lab)
    stream = lab.key("read")
    for message in await lab.client.read(stream, "out", "dead", count=5):
        await lab.redis("XCLAIM", stream, "out", "dead", 0, message.id, "IDLE", 10**8, "JUSTID")
    run = lab.start()
    settle, failing = run.client.settle, set[str]()

    async def fail_the_first(settlement: Settlement, **who: str) -> Settled:
        ids = {entry.id for part in settlement.parts for entry in part.entries}
        if settlement.position is None or not ids:
            return await settle(settlement, **who)
        if not failing:
            failing.update(ids)
            run.runner.stop()
        if ids & failing:
            raise ServerUnavailableError("away")
        return await settle(settlement, **who)

    monkeypatch.setattr(run.client, "settle", fail_the_first)
    await run.ended()
    assert len(failing) == 5
    await lab.run()

    assert lab.numbers("out/all.jsonl") == list(range(10))


async def _only_read(lab: Lab) -> None:
    run = lab.start(stages=["read"])
    await wait_until(lambda: _holds(lab, 10))
    await run.stop()


async def _holds(lab: Lab, entries: int) -> bool:
    return await lab.client.stream_len(lab.key("read")) >= entries
