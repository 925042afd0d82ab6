"""Calls that pass their time limit are told of while their batch goes on: the outcomes come much later."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from rsq_pipe.verbs.executor import Executor, ThreadExecutor
from rsq_pipe.verbs.task_executor import TaskExecutor
from tests.support.signals import wait_until

TIMEOUT = 0.05
HANGS = 30.0
TOLD = "took longer than `timeout`, 50ms"


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_sync_calls_that_hang_one_after_another_are_told_of_before_the_batch_ends(
    let_go: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    def call(item: int) -> int:
        let_go.wait(HANGS)
        return item

    await _told(ThreadExecutor("price", TIMEOUT), call, caplog)


async def test_async_calls_that_hang_one_after_another_are_told_of_before_the_batch_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def call(item: int) -> int:
        await asyncio.sleep(HANGS)
        return item

    await _told(TaskExecutor("price", TIMEOUT), call, caplog)


async def test_a_call_that_ends_in_time_ends_the_row(let_go: threading.Event) -> None:
    executor = ThreadExecutor("price", TIMEOUT)
    await executor.each(lambda item: let_go.wait(HANGS) if item == 0 else item, [0, 1])

    with executor.overruns.during():
        assert executor.overruns.lasting(0.0) is None
    await executor.close()


async def _told(executor: Executor, call: Any, caplog: pytest.LogCaptureFixture) -> None:
    batch = asyncio.ensure_future(executor.each(call, range(4)))
    await wait_until(lambda: executor.overruns.lasting(0.0) is not None, what="a call is told of")
    found = executor.overruns.lasting(0.0)
    assert found is not None
    assert TOLD in found[0]
    assert not batch.done()
    await batch

    assert executor.overruns.lasting(0.0) is None, "no call is being made"
    assert caplog.messages == [f"stage 'price': a call {TOLD}"], "once for a row of calls"
    await executor.close()
