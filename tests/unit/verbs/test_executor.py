"""Sync calls that run past their timeout."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rsq_pipe.errors import HandlerError, HandlerTimeoutError
from rsq_pipe.model.outcome import Failure
from rsq_pipe.verbs.executor import ABANDONED_LIMIT, _Run
from tests.support.signals import wait_until
from tests.unit.verbs.given import batch, calling, numbered, outcomes, stage

QUICK = stage(timeout=0.1)
HANGS = 30.0  # seconds a hanging handler waits at most; each test lets it go before it ends


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "rsq-pipe price"]


async def test_a_call_that_sleeps_fails_its_record_alone(let_go: threading.Event) -> None:
    def handler(record: dict[str, Any]) -> dict[str, Any]:
        if record["n"] == 2:
            let_go.wait(HANGS)
        return {"done": record["n"]}

    started = time.monotonic()
    found = await outcomes(handler, *({"n": n} for n in range(5)), of=QUICK)

    assert time.monotonic() - started < 2
    assert [outcome for outcome in found if isinstance(outcome, dict)] == [{"done": n} for n in (0, 1, 3, 4)]
    failed = found[2]
    assert failed.retryable
    assert isinstance(failed.error, HandlerTimeoutError)
    assert (failed.error.stage, failed.error.timeout) == ("price", 0.1)
    assert "stage 'price': the handler took longer than 100ms" in str(failed.error)


async def test_a_batch_whose_calls_are_all_done_has_none_that_overran_however_late_that_is_heard() -> None:
    # As where the process is paused between the thread's last call and its word that it is done.
    run = _Run(lambda item: item, [1, 2], 0.01)
    run.work()
    run.since -= 60

    run.check_timeout()
    assert not run.ended.is_set()

    await run.ended.wait()
    run.timer.cancel()
    assert not run.has_overrun
    assert run.results[: run.count] == [1, 2]


async def test_a_call_that_spins_is_ended_although_it_catches_exception() -> None:
    def handler(record: dict[str, Any]) -> dict[str, Any]:
        while record["n"] == 0:
            try:
                sum(range(100))
            except Exception:
                continue
        return record

    found = await outcomes(handler, {"n": 0}, {"n": 1}, of=QUICK)

    assert isinstance(found[0].error, HandlerTimeoutError)
    assert found[1] == {"n": 1}
    await wait_until(lambda: not _threads(), what="the spinning thread has ended")


async def test_with_statements_are_left_properly_by_a_call_that_is_ended() -> None:
    lock = threading.Lock()

    def handler(record: dict[str, Any]) -> None:
        with lock:
            while True:
                pass

    await outcomes(handler, {"n": 0}, of=QUICK)

    await wait_until(lambda: not lock.locked(), what="the lock is free")


async def test_a_call_that_swallows_its_end_cannot_return_a_late_result(let_go: threading.Event) -> None:
    def handler(record: dict[str, Any]) -> dict[str, Any]:
        while not let_go.is_set():
            try:
                while not let_go.is_set():
                    pass
            except BaseException:
                continue
        return {"late": record["n"]}

    async with calling(handler, QUICK) as verb:
        [found] = await verb.process(numbered(1))
        let_go.set()
        after = await verb.process(numbered(1))

    assert isinstance(found, Failure)
    assert after == [{"late": 0}]


async def test_an_abandoned_thread_handles_no_further_record(let_go: threading.Event) -> None:
    handled: list[int] = []

    def handler(record: dict[str, Any]) -> None:
        while record["n"] == 0 and not let_go.is_set():
            try:
                let_go.wait(HANGS)
            except BaseException:
                continue
        handled.append(record["n"])

    async with calling(handler, QUICK) as verb:
        await verb.process(numbered(3))
        let_go.set()
        await wait_until(lambda: len(_threads()) == 1, what="the abandoned thread has ended")

    assert handled == [1, 2, 0]


async def test_the_timeout_is_per_call_and_not_per_batch() -> None:
    gate = threading.Event()

    def handler(record: dict[str, Any]) -> dict[str, Any]:
        gate.wait(0.05)
        return record

    found = await outcomes(handler, *({"n": n} for n in range(10)), of=stage(timeout=0.3))

    assert [record["n"] for record in found] == list(range(10))


async def test_more_abandoned_calls_than_the_limit_stop_the_stage(let_go: threading.Event) -> None:
    async with calling(lambda record: let_go.wait(HANGS), stage(timeout=0.01)) as verb:
        with pytest.raises(HandlerError, match=r"16 handler calls ran past 10ms .* its own timeout"):
            await verb.process(numbered(ABANDONED_LIMIT + 1))
        let_go.set()
        await wait_until(lambda: not _threads(), what="the abandoned threads have ended")

        assert await verb.process(batch({})) is not None  # those that ended count no longer


async def test_cancelling_abandons_the_call_at_once(let_go: threading.Event) -> None:
    running = threading.Event()

    def handler(record: dict[str, Any]) -> dict[str, Any]:
        running.set()
        let_go.wait(HANGS)
        return record

    async with calling(handler) as verb:
        processing = asyncio.create_task(verb.process(numbered(2)))
        await wait_until(running.is_set)
        started = time.monotonic()
        processing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await processing
        assert time.monotonic() - started < 1
        let_go.set()

        assert await verb.process(numbered(1)) == [{"n": 0}]


HANGING_SCRIPT = """
import asyncio, threading
from tests.unit.verbs.given import calling, numbered, stage

async def hang_async(record):
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def main():
    for handler in (lambda record: threading.Event().wait(), hang_async):
        async with calling(handler, stage(timeout=0.05)) as verb:
            [failed] = await verb.process(numbered(1))
            print(type(failed.error).__name__)

asyncio.run(main())
"""


def test_the_process_ends_although_handlers_hang() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGING_SCRIPT], capture_output=True, text=True, timeout=20, check=False
    )

    assert ended.stdout.split() == ["HandlerTimeoutError", "HandlerTimeoutError"]
    told = "stage 'price': a call took longer than `timeout`, 50ms\n"
    assert (ended.returncode, ended.stderr) == (0, 2 * told)
