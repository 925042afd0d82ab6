"""Isolation: batches side by side, or one entry alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from rsq_pipe.streams.in_flight import Isolation


@pytest.fixture
def isolation() -> Isolation:
    return Isolation()


class Visit:
    """Somebody inside one of the isolation's two doors, until told to leave."""

    def __init__(self, door: AbstractAsyncContextManager[None]) -> None:
        self.inside = asyncio.Event()
        self.may_leave = asyncio.Event()
        self._door = door
        self.task = asyncio.ensure_future(self._visit())

    async def _visit(self) -> None:
        async with self._door:
            self.inside.set()
            await self.may_leave.wait()

    async def leave(self) -> None:
        self.may_leave.set()
        await self.task


@pytest.fixture(autouse=True)
async def nobody_left_inside(isolation: Isolation) -> AsyncIterator[None]:
    yield
    async with asyncio.timeout(1), isolation.alone():
        pass


async def settle() -> None:
    """Let every task that can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_batches_are_handled_side_by_side(isolation: Isolation) -> None:
    visits = [Visit(isolation.beside_others()) for _ in range(3)]
    await settle()

    assert all(visit.inside.is_set() for visit in visits)
    for visit in visits:
        await visit.leave()


async def test_who_handles_batches_sees_from_the_first_that_an_entry_is_to_be_alone_until_it_has_been(
    isolation: Isolation,
) -> None:
    shared: list[bool] = []
    batch = Visit(isolation.beside_others())
    await settle()
    shared.append(isolation.is_shared)
    alone = Visit(isolation.alone())
    await settle()
    shared.append(isolation.is_shared)
    await batch.leave()
    await settle()
    shared.append(isolation.is_shared)
    await alone.leave()
    shared.append(isolation.is_shared)

    assert shared == [True, False, False, True]


async def test_an_entry_alone_waits_for_every_batch_in_hand(isolation: Isolation) -> None:
    batches = [Visit(isolation.beside_others()) for _ in range(2)]
    await settle()
    alone = Visit(isolation.alone())

    await batches[0].leave()
    await settle()
    assert not alone.inside.is_set()
    await batches[1].leave()
    await settle()
    assert alone.inside.is_set()
    await alone.leave()


async def test_a_batch_waits_while_an_entry_asks_to_be_alone_or_is(isolation: Isolation) -> None:
    first = Visit(isolation.beside_others())
    await settle()
    alone = Visit(isolation.alone())
    await settle()
    later = Visit(isolation.beside_others())
    await settle()
    assert not later.inside.is_set()

    await first.leave()
    await settle()
    assert (alone.inside.is_set(), later.inside.is_set()) == (True, False)

    await alone.leave()
    await settle()
    assert later.inside.is_set()
    await later.leave()


async def test_entries_are_alone_one_after_the_other(isolation: Isolation) -> None:
    first, second = Visit(isolation.alone()), Visit(isolation.alone())
    await settle()
    assert [first.inside.is_set(), second.inside.is_set()] == [True, False]

    await first.leave()
    await settle()
    assert second.inside.is_set()
    await second.leave()


@pytest.mark.parametrize("inside", [True, False])
async def test_who_is_cancelled_keeps_nobody_waiting(isolation: Isolation, inside: bool) -> None:
    batch = None if inside else Visit(isolation.beside_others())
    await settle()
    alone = Visit(isolation.alone())
    await settle()
    assert alone.inside.is_set() is inside

    alone.task.cancel()
    later = Visit(isolation.beside_others())
    await settle()

    assert later.inside.is_set()
    await later.leave()
    if batch:
        await batch.leave()


class Suspended(Visit):
    """One that handles a batch, and is suspended until it may return."""

    def __init__(self, isolation: Isolation, door: AbstractAsyncContextManager[None]) -> None:
        self.suspended, self.may_return = asyncio.Event(), asyncio.Event()
        self._isolation = isolation
        super().__init__(door)

    async def _visit(self) -> None:
        async with self._door:
            async with self._isolation.suspended():
                self.suspended.set()
                await self.may_return.wait()
            self.inside.set()
            await self.may_leave.wait()


@pytest.mark.parametrize("alone", [False, True], ids=["beside others", "alone"])
async def test_what_is_suspended_holds_up_nobody_and_waits_its_turn_to_come_back(
    isolation: Isolation, alone: bool
) -> None:
    paused = Suspended(isolation, isolation.alone() if alone else isolation.beside_others())
    await paused.suspended.wait()
    other = Visit(isolation.alone())
    await other.inside.wait()

    paused.may_return.set()
    await settle()
    assert not paused.inside.is_set()

    await other.leave()
    await paused.inside.wait()
    waiting = Visit(isolation.alone())
    await settle()
    assert not waiting.inside.is_set()
    await paused.leave()
    await waiting.inside.wait()
    await waiting.leave()


@pytest.mark.parametrize("alone", [False, True], ids=["beside others", "alone"])
async def test_what_is_cancelled_while_it_is_suspended_leaves_nothing_behind(
    isolation: Isolation, alone: bool
) -> None:
    paused = Suspended(isolation, isolation.alone() if alone else isolation.beside_others())
    await paused.suspended.wait()
    paused.task.cancel()
    await asyncio.wait([paused.task])


async def test_one_that_is_cancelled_while_it_is_suspended_ends_nobody_elses_isolation(
    isolation: Isolation,
) -> None:
    async def suspend() -> None:
        async with isolation.alone(), isolation.suspended():
            await asyncio.Event().wait()

    cancelled = asyncio.ensure_future(suspend())
    await settle()
    alone = Visit(isolation.alone())
    await settle()
    assert alone.inside.is_set()

    cancelled.cancel()
    await settle()
    beside = Visit(isolation.beside_others())
    await settle()

    assert not beside.inside.is_set()
    await alone.leave()
    await beside.leave()
