"""A blocking iterator is read ahead by a thread, and left where it blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from rsq_pipe.engine.sources.prefetch import DEPTH, Prefetch


async def test_items_come_in_order() -> None:
    assert [item async for item in Prefetch(iter(range(50)))] == list(range(50))


async def test_what_the_iterator_raises_is_raised_behind_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    prefetch = aiter(Prefetch(items()))
    assert await anext(prefetch) == 1
    with pytest.raises(OSError, match="disk"):
        await anext(prefetch)


class Panic(BaseException):
    """What a library may raise that is not an Exception, such as a panic of Rust code."""


@pytest.mark.parametrize("error", [Panic("not yet implemented"), SystemExit(3), KeyboardInterrupt()])
async def test_whatever_ends_the_iterator_is_an_error_and_never_a_wait_without_end(
    error: BaseException,
) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise error

    prefetch = aiter(Prefetch(items()))
    assert await anext(prefetch) == 1
    with pytest.raises(RuntimeError, match=f"reading ended by {type(error).__name__}"):
        await asyncio.wait_for(anext(prefetch), 5)


async def test_a_prefetch_reads_ahead_no_further_than_its_depth() -> None:
    made = []
    full = threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == DEPTH:
                full.set()
            yield number

    prefetch = Prefetch(items())
    await asyncio.to_thread(full.wait, 5)

    assert len(made) == DEPTH + 1
    prefetch.close()


async def test_closing_ends_an_iteration_that_waits_for_an_item_that_never_comes() -> None:
    never = threading.Event()

    def items() -> Iterator[int]:
        never.wait(30)
        yield 1

    prefetch = Prefetch(items())

    async def found() -> list[int]:
        return [item async for item in prefetch]

    waiting = asyncio.ensure_future(found())
    await asyncio.sleep(0)
    assert not waiting.done()

    prefetch.close()

    assert await asyncio.wait_for(waiting, 2) == []
    never.set()
