"""What one task has read is given to another, which is done with it before the next is read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

import pytest

from rsq_pipe.errors import ServerUnavailableError
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.handover import Handover


def batch(number: int) -> list[RawEntry]:
    return [RawEntry("s", f"{number}-0", [b"data", b"{}"])]


async def all_taken(read: Callable[[Handover], Awaitable[None]], log: list[str]) -> list[Sequence[RawEntry]]:
    """Take everything, and write down when each is begun and done."""
    handover, found = Handover(), []

    async def reading() -> None:
        await read(handover)

    async with aclosing(handover.taken(asyncio.create_task(reading()))) as taken:
        async for entries in taken:
            log.append(f"begin {entries[0].id}")
            await asyncio.sleep(0)
            found.append(entries)
            log.append(f"done {entries[0].id}")
    return found


async def test_the_reader_goes_on_when_its_batch_is_done_with_and_not_before() -> None:
    log: list[str] = []

    async def read(handover: Handover) -> None:
        for number in range(3):
            log.append(f"read {number}-0")
            await handover.give(batch(number))
        log.append("end")

    assert await all_taken(read, log) == [batch(number) for number in range(3)]
    assert log == [
        *("read 0-0", "begin 0-0", "done 0-0"),
        *("read 1-0", "begin 1-0", "done 1-0"),
        *("read 2-0", "begin 2-0", "done 2-0"),
        "end",
    ]


async def test_it_ends_with_the_task_that_reads() -> None:
    async def read(handover: Handover) -> None:
        await asyncio.sleep(0)

    assert await all_taken(read, []) == []


async def test_what_was_given_before_the_end_is_taken() -> None:
    async def read(handover: Handover) -> None:
        giving = asyncio.create_task(handover.give(batch(1)))
        await asyncio.sleep(0)
        del giving

    assert await asyncio.wait_for(all_taken(read, []), 5) == [batch(1)]


async def test_what_ends_the_reader_is_raised_to_who_takes() -> None:
    log: list[str] = []

    async def read(handover: Handover) -> None:
        await handover.give(batch(1))
        raise ServerUnavailableError("gone")

    with pytest.raises(ServerUnavailableError, match="gone"):
        await all_taken(read, log)
    assert log == ["begin 1-0", "done 1-0"]


async def test_a_cancelled_reader_cancels_who_takes() -> None:
    handover = Handover()
    reading = asyncio.create_task(asyncio.Event().wait())
    taken = handover.taken(reading)  # type: ignore[arg-type]
    taking = asyncio.create_task(anext(taken))
    await asyncio.sleep(0)
    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await taking
    await taken.aclose()


async def test_a_taker_that_stops_asking_lets_the_reader_wait_until_it_is_cancelled() -> None:
    handover = Handover()
    reading = asyncio.create_task(handover.give(batch(1)))
    async with aclosing(handover.taken(reading)) as taken:
        assert await anext(taken) == batch(1)
    await asyncio.sleep(0)

    assert not reading.done()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
