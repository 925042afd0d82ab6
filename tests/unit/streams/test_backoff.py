"""What fails is tried again ever more slowly, and said once."""

from __future__ import annotations

import asyncio

import pytest

from rsq_pipe.streams.backoff import FIRST, LONGEST, Backoff


@pytest.fixture
def stopping() -> asyncio.Event:
    """Set, so that no pause takes time."""
    event = asyncio.Event()
    event.set()
    return event


async def test_pauses_double_up_to_the_longest(stopping: asyncio.Event) -> None:
    backoff = Backoff("orders")
    pauses = []
    for _ in range(10):
        await backoff.wait(ConnectionError("away"), stopping)
        pauses.append(backoff._pause)

    assert pauses[:3] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert pauses[-1] == LONGEST


async def test_an_outage_is_said_once_and_its_end_once(
    stopping: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    backoff = Backoff("orders")
    for _ in range(5):
        await backoff.wait(ConnectionError("away"), stopping)
    backoff.reset()
    backoff.reset()

    assert [record.message.split("after")[0] for record in caplog.records] == [
        "orders: away; trying again",
        "orders: works again ",
    ]


async def test_a_pause_ends_when_the_consumer_stops() -> None:
    backoff, stopping = Backoff("orders"), asyncio.Event()
    backoff._pause = LONGEST
    waiting = asyncio.create_task(backoff.wait(ConnectionError("away"), stopping))
    await asyncio.sleep(0)

    stopping.set()

    await asyncio.wait_for(waiting, 1.0)
