from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest
import structlog

from rsq_pipe.errors import HandlerError
from rsq_pipe.verbs.context import Context, StageContext
from rsq_pipe.verbs.resources import RESOURCE_LIMIT, Resources
from tests.unit.verbs.given import calling, numbered, outcomes, stage

events: list[str] = []


@pytest.fixture(autouse=True)
def no_events() -> None:
    events.clear()


class Closable:
    def __init__(self, name: str = "closable") -> None:
        events.append(f"made {name}")
        self.name = name

    def close(self) -> None:
        events.append(f"closed {self.name}")


class AsyncClosable(Closable):
    async def aclose(self) -> None:
        await asyncio.sleep(0)
        events.append(f"aclosed {self.name}")


@contextmanager
def managed() -> Iterator[str]:
    events.append("entered managed")
    yield "managed"
    events.append("left managed")


@asynccontextmanager
async def async_managed() -> AsyncIterator[str]:
    events.append("entered async")
    yield "async"
    events.append("left async")


def table(view: StageContext) -> Closable:
    return Closable(view.values.table)


async def test_a_resource_is_made_once_and_closed_when_the_stage_ends() -> None:
    def handler(record: dict[str, Any], ctx: Context) -> dict[str, Any]:
        return {"name": ctx.resource(table).name}

    async with calling(handler, stage(values={"table": "customers"})) as verb:
        found = [*await verb.process(numbered(2)), *await verb.process(numbered(2))]
        assert events == ["made customers"]

    assert found == [{"name": "customers"}] * 4
    assert events == ["made customers", "closed customers"]


async def test_resources_are_closed_in_reverse_order_of_every_kind() -> None:
    def handler(record: dict[str, Any], ctx: Context) -> None:
        ctx.resource(Closable)
        assert ctx.resource(managed) == "managed"
        ctx.resource(AsyncClosable)
        ctx.resource(dict)

    await outcomes(handler, {})

    assert events == [
        *("made closable", "entered managed", "made closable"),
        *("aclosed closable", "left managed", "closed closable"),
    ]


async def test_an_async_handler_awaits_its_resources() -> None:
    async def connect() -> Closable:
        await asyncio.sleep(0)
        return Closable("pool")

    async def handler(record: dict[str, Any], ctx: Context) -> None:
        assert await ctx.async_resource(async_managed) == "async"
        assert (await ctx.async_resource(connect)).name == "pool"

    await outcomes(handler, {}, {}, of=stage(concurrency=2))

    assert events == ["entered async", "made pool", "closed pool", "left async"]


@pytest.mark.parametrize("factory", [async_managed, asyncio.sleep])
async def test_what_must_be_awaited_is_refused_by_the_sync_form(factory: Any) -> None:
    def handler(record: dict[str, Any], ctx: Context) -> None:
        ctx.resource(factory if factory is async_managed else lambda: factory(0))

    [failed] = await outcomes(handler, {})

    assert "await ctx.async_resource" in str(failed.error)


async def test_a_lambda_in_the_handler_is_one_resource_not_one_per_record() -> None:
    def handler(record: dict[str, Any], ctx: Context) -> None:
        ctx.resource(lambda: Closable(ctx.values.table))

    await outcomes(handler, {}, {}, {}, of=stage(values={"table": "a"}))

    assert events == ["made a", "closed a"]


async def test_lambdas_that_closed_over_other_values_are_other_resources() -> None:
    def by_closure(name: str) -> Callable[[], Closable]:
        return lambda: Closable(name)

    def by_default(name: str) -> Any:
        return lambda name=name: Closable(name)

    def handler(record: dict[str, Any], ctx: Context) -> dict[str, Any]:
        closures = [ctx.resource(by_closure(name)).name for name in ("a", "b")]
        return {"names": closures + [ctx.resource(by_default(name)).name for name in ("c", "d")]}

    found = await outcomes(handler, {}, {})

    assert found == [{"names": ["a", "b", "c", "d"]}] * 2
    assert events[:4] == ["made a", "made b", "made c", "made d"]


async def test_a_factory_made_anew_for_every_record_is_an_error_that_says_so() -> None:
    def handler(record: dict[str, Any], ctx: Context) -> None:
        ctx.resource(lambda: [record["n"]])

    found = await outcomes(handler, *({"n": n} for n in range(RESOURCE_LIMIT + 1)))

    assert isinstance(found[-1].error, HandlerError)
    assert "defined at the top of the module" in str(found[-1].error)


async def test_a_factory_that_raises_fails_the_record_and_is_asked_again() -> None:
    answers: list[Callable[[], Any]] = [lambda: 1 / 0, lambda: "up"]

    def flaky() -> Any:
        return answers.pop(0)()

    def handler(record: dict[str, Any], ctx: Context) -> dict[str, Any]:
        return {"server": ctx.resource(flaky)}

    failed, up = await outcomes(handler, {}, {})

    assert isinstance(failed.error, ZeroDivisionError)
    assert up == {"server": "up"}


async def test_two_stage_workers_have_a_resource_each() -> None:
    def handler(record: dict[str, Any], ctx: Context) -> dict[str, Any]:
        return {"id": id(ctx.resource(Closable))}

    async with calling(handler) as one, calling(handler) as other:
        assert await one.process(numbered(1)) != await other.process(numbered(1))


async def test_a_connection_bound_to_its_thread_is_used_and_closed_there() -> None:
    class Connection(sqlite3.Connection):
        def close(self) -> None:
            super().close()  # raises in any other thread than that which connected
            events.append("closed")

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(":memory:", factory=Connection)

    def handler(record: dict[str, Any], ctx: Context) -> dict[str, Any]:
        return {"one": ctx.resource(connect).execute("select 1").fetchone()[0]}

    with structlog.testing.capture_logs() as logs:
        assert await outcomes(handler, {}) == [{"one": 1}]

    assert logs == []
    assert events == ["closed"]


async def test_a_resource_that_cannot_be_closed_is_logged_and_the_others_are_closed() -> None:
    class Broken:
        def close(self) -> None:
            raise OSError("gone")

    def handler(record: dict[str, Any], ctx: Context) -> None:
        ctx.resource(Closable)
        ctx.resource(Broken)

    with structlog.testing.capture_logs() as logs:
        await outcomes(handler, {})

    assert events == ["made closable", "closed closable"]
    assert [(entry["stage"], entry["error"]) for entry in logs] == [("price", "OSError: gone")]


def test_two_threads_that_ask_at_once_get_one_resource() -> None:
    resources, view = Resources("price"), object()
    both_inside = threading.Barrier(2)
    made: list[object] = []

    def factory() -> object:
        with suppress(threading.BrokenBarrierError):
            both_inside.wait(0.2)  # opens only if both threads are let into the factory
        made.append(object())
        return made[-1]

    def ask() -> None:
        resources.get(factory, view)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)

    assert len(made) == 1
    assert resources.get(factory, view) is made[0]
