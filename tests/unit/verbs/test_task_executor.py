"""Async calls that run past their timeout."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from rsq_pipe.errors import HandlerError, HandlerTimeoutError
from rsq_pipe.model.outcome import Failure
from rsq_pipe.verbs.executor import ABANDONED_LIMIT
from rsq_pipe.verbs.task_executor import TaskExecutor
from tests.support.signals import wait_until
from tests.unit.verbs.given import calling, numbered, outcomes, stage

QUICK = stage(timeout=0.05)


class Stubborn:
    """An async call that takes no notice of being cancelled until the test lets it go."""

    def __init__(self, *stuck: int) -> None:
        self.let_go = asyncio.Event()
        self.stuck = stuck
        self.ended: list[int] = []

    async def __call__(self, n: int) -> int:
        while n in self.stuck and not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                continue
        self.ended.append(n)
        return n


async def test_a_call_that_waits_too_long_fails_its_record_alone_and_cleans_up() -> None:
    cleaned: list[int] = []

    async def handler(record: dict[str, Any]) -> dict[str, Any]:
        try:
            if record["n"] == 1:
                await asyncio.Event().wait()
        finally:
            cleaned.append(record["n"])
        return record

    found = await outcomes(handler, *({"n": n} for n in range(3)), of=QUICK)

    assert (found[0], found[2]) == ({"n": 0}, {"n": 2})
    assert isinstance(found[1].error, HandlerTimeoutError)
    assert found[1].retryable
    assert cleaned == [0, 1, 2]


async def test_with_concurrency_the_others_go_on_while_one_hangs() -> None:
    async def handler(record: dict[str, Any]) -> dict[str, Any]:
        if record["n"] in (0, 5):
            await asyncio.Event().wait()
        return record

    found = await outcomes(handler, *({"n": n} for n in range(9)), of=stage(timeout=0.05, concurrency=3))

    assert [place for place, outcome in enumerate(found) if isinstance(outcome, Failure)] == [0, 5]


async def test_a_call_that_swallows_its_cancellation_is_left_behind_after_the_grace() -> None:
    executor, call = TaskExecutor("price", timeout=0.05, grace=0.05), Stubborn(1)

    started = time.monotonic()
    found = await executor.each(call, [0, 1, 2])
    assert time.monotonic() - started < 2
    assert call.ended == [0, 2]

    call.let_go.set()
    await wait_until(lambda: 1 in call.ended, what="the stubborn call has ended")
    assert (found[0], found[2]) == (0, 2)
    assert isinstance(found[1].error, HandlerTimeoutError)  # the late result took nobody's place
    await executor.close()


async def test_more_abandoned_calls_than_the_limit_stop_the_stage() -> None:
    count = ABANDONED_LIMIT + 1
    executor, call = (
        TaskExecutor("price", timeout=0.02, concurrency=count, grace=0.02),
        Stubborn(*range(count)),
    )

    with pytest.raises(HandlerError, match="are still running"):
        await executor.each(call, range(count))

    call.let_go.set()
    await wait_until(lambda: len(call.ended) == count, what="all calls have ended")


async def test_cancelling_cancels_the_calls_at_once() -> None:
    running, cleaned = asyncio.Event(), asyncio.Event()

    async def handler(record: dict[str, Any]) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    async with calling(handler) as verb:
        processing = asyncio.create_task(verb.process(numbered(2)))
        await running.wait()
        processing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await processing

    assert cleaned.is_set()


async def test_calls_that_keep_the_loop_busy_are_not_blamed_on_records_that_wait_their_turn() -> None:
    async def handler(record: dict[str, Any]) -> dict[str, Any]:
        if record["n"] == 0:
            until = time.monotonic() + 0.15
            while time.monotonic() < until:
                pass
        return record

    found = await outcomes(handler, *({"n": n} for n in range(4)), of=stage(timeout=0.05, concurrency=4))

    assert found == [{"n": n} for n in range(4)]


async def test_the_timeout_is_per_call_and_not_per_batch() -> None:
    async def handler(record: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.03)  # the work itself, shorter than the timeout
        return record

    found = await outcomes(handler, *({"n": n} for n in range(10)), of=stage(timeout=0.2))

    assert found == [{"n": n} for n in range(10)]


async def test_a_stop_after_a_batch_that_was_cut_off_finds_nothing_left_to_skip() -> None:
    begun = asyncio.Event()

    async def hangs(_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    executor = TaskExecutor("slow", timeout=60)
    calls = asyncio.ensure_future(executor.each(hangs, [1, 2, 3]))
    await begun.wait()
    calls.cancel()
    await asyncio.wait([calls])

    executor.skip_rest()

    assert await executor.each(returned, [4]) == [4]
    await executor.close()


async def returned(item: Any) -> Any:
    return item
