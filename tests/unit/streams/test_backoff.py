"""What fails is tried again ever more slowly, and said once."""

from __future__ import annotations

import asyncio

import pytest

from rsq_pipe.errors import ServerUnavailableError, StreamFullError
from rsq_pipe.streams.backoff import FIRST, FORGOTTEN, LONGEST, QUIET, Backoff, Outage


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
        pauses.append(backoff._pause.seconds)

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


async def test_what_fails_and_works_by_turns_is_said_once_a_while(
    stopping: asyncio.Event, caplog: pytest.LogCaptureFixture, clock: list[float]
) -> None:
    backoff = Backoff("source read", calm=60.0)
    for _ in range(100):
        await backoff.wait(StreamFullError("server h:1 is out of memory"), stopping)
        backoff.reset()
        clock[0] += 0.7

    assert [record.message.split(" after")[0] for record in caplog.records] == 2 * [
        "source read: server h:1 is out of memory; trying again",
        "source read: works again",
    ]


async def test_what_stays_away_is_said_even_if_that_began_while_it_was_calm(
    stopping: asyncio.Event, caplog: pytest.LogCaptureFixture, clock: list[float]
) -> None:
    backoff = Backoff("source read", calm=60.0)
    for _ in range(2):
        backoff.reset()
        await backoff.wait(StreamFullError("server h:1 is out of memory"), stopping)
    for _ in range(100):
        clock[0] += 5.0
        await backoff.wait(StreamFullError("server h:1 is out of memory"), stopping)

    assert [record.message.split(" after")[0] for record in caplog.records] == [
        "source read: server h:1 is out of memory; trying again",
        "source read: works again",
        "source read: server h:1 is out of memory; trying again",
    ]


async def test_a_pause_ends_when_the_consumer_stops() -> None:
    backoff, stopping = Backoff("orders"), asyncio.Event()
    backoff._pause.seconds = LONGEST
    waiting = asyncio.create_task(backoff.wait(ConnectionError("away"), stopping))
    await asyncio.sleep(0)

    stopping.set()

    await asyncio.wait_for(waiting, 1.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [1_000.0]
    monkeypatch.setattr("rsq_pipe.streams.backoff.time.monotonic", lambda: now[0])
    return now


def away(address: str = "h:1") -> ServerUnavailableError:
    return ServerUnavailableError(f"server {address} is not reachable", address=address)


async def test_a_server_that_is_away_is_said_once_by_all_that_miss_it(
    stopping: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    backoffs = [Backoff(f"stage {number}") for number in range(5)]
    for _ in range(3):
        for backoff in backoffs:
            await backoff.wait(away("once:1"), stopping)
    for backoff in backoffs:
        backoff.reset()

    assert [record.message.split(" after")[0] for record in caplog.records] == [
        "server once:1 is not reachable; trying again",
        "server once:1 works again",
    ]


def test_a_broken_connection_found_right_after_a_recovery_is_no_outage(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage("h:1")
    outage.fails(away())
    outage.works()
    clock[0] += QUIET / 2
    outage.fails(away())
    outage.works()

    assert len(caplog.records) == 2


def test_a_server_that_goes_away_again_is_said_again(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage("h:1")
    outage.fails(away())
    outage.works()
    outage.fails(away())  # at once, so not yet
    clock[0] += 2 * QUIET
    outage.fails(away())
    outage.works()
    clock[0] += 2 * QUIET
    outage.fails(away())

    assert [record.message.split(" after")[0] for record in caplog.records] == [
        "server h:1 is not reachable; trying again",
        "server h:1 works again",
    ] * 2 + ["server h:1 is not reachable; trying again"]


def test_a_server_that_dies_over_and_over_is_said_more_than_once(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage("h:1")
    for _ in range(10):
        outage.fails(away())
        outage.works()
        clock[0] += 0.7 * QUIET

    assert sum("is not reachable" in record.message for record in caplog.records) == 5


def test_an_outage_whose_end_nobody_told_does_not_silence_the_next(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage("h:1")
    outage.fails(away())
    clock[0] += FORGOTTEN + 1
    outage.fails(away())

    assert len(caplog.records) == 2
