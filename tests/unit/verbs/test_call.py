from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
import time
import traceback
from typing import Any

import pytest

from rsq_pipe.errors import HandlerContractError, HandlerError
from rsq_pipe.model.outcome import Drop, Emit, Failure, Reject, Retry
from rsq_pipe.verbs.context import Context
from rsq_pipe.verbs.task_executor import YIELD_EVERY
from tests.unit.verbs.given import calling, numbered, outcomes, stage

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id")


def invert(record: dict[str, Any]) -> dict[str, Any]:
    return {"n": 1 / record["n"]}


async def invert_async(record: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0)
    return invert(record)


@pytest.mark.parametrize("handler", [invert, invert_async])
async def test_a_record_that_raises_fails_alone_and_in_its_place(handler: Any) -> None:
    first, second, third = await outcomes(handler, {"n": 1}, {"n": 0}, {"n": 2})

    assert (first, third) == ({"n": 1.0}, {"n": 0.5})
    assert isinstance(second, Failure)
    assert second.retryable
    assert isinstance(second.error, ZeroDivisionError)


@pytest.mark.parametrize("handler", [invert, invert_async])
async def test_the_traceback_of_a_failure_begins_in_user_code(handler: Any) -> None:
    [failed] = await outcomes(handler, {"n": 0})

    frames = traceback.extract_tb(failed.error.__traceback__)
    assert frames[0].name == handler.__name__
    assert frames[-1].line == 'return {"n": 1 / record["n"]}'


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        {"a": 1},
        [{"a": 1}, {"a": 2}],
        Emit({"a": 1}, "large"),
        Drop("old"),
        Retry("30s"),
        Reject("bad"),
    ],
)
async def test_what_a_handler_may_return_arrives_as_it_is(outcome: Any) -> None:
    assert await outcomes(lambda record: outcome, {}, of=stage(ports=("large",))) == [outcome]


async def test_an_emit_without_port_and_headers_is_its_record() -> None:
    assert await outcomes(lambda record: Emit({"a": 1}), {}) == [{"a": 1}]


@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
async def test_no_exception_of_user_code_ends_the_process(error: BaseException) -> None:
    def sync_handler(record: dict[str, Any]) -> None:
        raise error

    async def async_handler(record: dict[str, Any]) -> None:
        raise error

    for handler in (sync_handler, async_handler):
        failed = await outcomes(handler, {"n": 1}, {"n": 2})
        assert [type(outcome) for outcome in failed] == [Failure, Failure]
        assert failed[0].error is error


async def test_sync_handlers_run_in_a_thread_of_their_own_with_the_callers_contextvars() -> None:
    request_id.set("r1")
    seen: list[tuple[str, str]] = []

    await outcomes(lambda record: seen.append((threading.current_thread().name, request_id.get())), {})

    assert seen == [("rsq-pipe price", "r1")]


async def test_all_batches_of_a_stage_worker_share_one_thread() -> None:
    threads: list[int] = []
    async with calling(lambda record: threads.append(threading.get_ident())) as verb:
        for _ in range(3):
            await verb.process(numbered(2))

    assert len(threads) == 6
    assert len(set(threads)) == 1


async def test_an_empty_batch_has_no_outcomes() -> None:
    assert await outcomes(invert) == []
    assert await outcomes(invert_async) == []


async def test_an_async_handler_with_concurrency_1_runs_in_order() -> None:
    running: list[str] = []

    async def handler(record: dict[str, Any]) -> None:
        running.append(f"+{record['n']}")
        await asyncio.sleep(0)
        running.append(f"-{record['n']}")

    await outcomes(handler, {"n": 1}, {"n": 2})

    assert running == ["+1", "-1", "+2", "-2"]


async def test_an_async_handler_runs_as_often_at_once_as_concurrency_says() -> None:
    all_in = asyncio.Barrier(4)

    async def handler(record: dict[str, Any]) -> dict[str, Any]:
        await all_in.wait()  # passes only if four calls wait here at once
        return record

    found = await outcomes(handler, *({"n": n} for n in range(8)), of=stage(concurrency=4))

    assert [record["n"] for record in found] == list(range(8))


async def test_async_handlers_that_never_wait_still_let_others_run() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def busy(record: dict[str, Any]) -> dict[str, Any]:
        return {"n": sum(range(100_000))}

    ticking = asyncio.create_task(tick())
    async with calling(busy) as verb:
        await verb.process(numbered(50))
    ticking.cancel()

    assert ticks > 3


async def test_an_async_handler_that_cancels_itself_fails_its_record_alone() -> None:
    async def handler(record: dict[str, Any]) -> dict[str, Any]:
        if record["n"] == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        return record

    first, second, third = await outcomes(handler, {"n": 0}, {"n": 1}, {"n": 2})

    assert (first, third) == ({"n": 0}, {"n": 2})
    assert isinstance(second.error, HandlerError)


async def test_a_cancellation_that_strikes_between_two_calls_costs_no_record() -> None:
    async def handler(record: dict[str, Any]) -> dict[str, Any]:
        task = asyncio.current_task()
        assert task is not None
        until = time.monotonic() + 2 * YIELD_EVERY
        while time.monotonic() < until:
            pass
        if record["n"] == 1:
            task.cancel()  # strikes where the task waits next, and that is after this call
        return record

    assert await outcomes(handler, {"n": 0}, {"n": 1}, {"n": 2}) == [{"n": 0}, {"n": 1}, {"n": 2}]


async def test_a_coroutine_that_a_sync_function_returns_is_a_contract_error() -> None:
    async def inner(record: dict[str, Any]) -> dict[str, Any]:
        return record

    def handler(record: dict[str, Any]) -> Any:
        return inner(record)

    [failed] = await outcomes(handler, {})

    assert isinstance(failed.error, HandlerContractError)
    assert "write `async def` and `return await ...`" in str(failed.error)


async def test_partials_and_callable_objects_are_handlers_too() -> None:
    class Scale:
        async def __call__(self, record: dict[str, Any], ctx: Context) -> dict[str, Any]:
            return {"n": record["n"] * 10, "rid": ctx.rid}

    def scale(record: dict[str, Any], factor: int) -> dict[str, Any]:
        return {"n": record["n"] * factor}

    assert await outcomes(Scale(), {"n": 1}) == [{"n": 10, "rid": "read:0"}]
    assert await outcomes(functools.partial(scale, factor=3), {"n": 1}) == [{"n": 3}]
