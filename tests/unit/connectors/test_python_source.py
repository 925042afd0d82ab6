"""What a user's function yields is read with positions, and read on behind them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from rsq_pipe.connectors.python.reading import PythonSource
from rsq_pipe.connectors.source import Arrival
from rsq_pipe.errors import SourceError


def arrivals(
    function: Callable[..., Any], position: str = "", size: int = 3, **values: Any
) -> tuple[list[Arrival], str]:
    """Read to the end; return what came and the last position."""
    found: list[Arrival] = []
    for chunk in PythonSource(lambda: function, "feeds:f", "read", values).read("feeds:f", position, size):
        found += chunk.arrivals
        position = chunk.position
    return found, position


def offsets(found: tuple[list[Arrival], str]) -> list[str]:
    return [one.offset for one in found[0]]


def bare() -> Iterator[dict[str, Any]]:
    for n in range(5):
        yield {"n": n}


def placed(position: str | None, end: int = 5) -> Iterator[tuple[str, dict[str, Any]]]:
    for n in range(0 if position is None else int(position[1:]) + 1, end):
        yield f"p{n}", {"n": n}


def counted(position: int | None) -> Iterator[dict[str, Any]]:
    for n in range(position or 0, 5):
        yield {"n": n}


async def later(position: int | None) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    for n in range((position or 0) + 1, 4):
        await asyncio.sleep(0)
        yield n, {"n": n}


def test_records_are_named_by_their_number_and_pairs_by_their_position() -> None:
    assert offsets(arrivals(bare)) == ["0", "1", "2", "3", "4"]
    assert offsets(arrivals(placed)) == ["p0", "p1", "p2", "p3", "p4"]
    assert offsets(arrivals(later)) == ["1", "2", "3"]


def test_a_function_that_asks_for_the_position_goes_on_behind_it() -> None:
    _, position = arrivals(placed, end=2)
    assert offsets(arrivals(placed, position)) == ["p2", "p3", "p4"]
    assert offsets(arrivals(counted, "[3,null]")) == ["3", "4"]
    assert offsets(arrivals(later, "[2,2]")) == ["3"]


def test_of_one_that_does_not_what_was_stored_is_passed_over() -> None:
    assert offsets(arrivals(bare, "[3,null]")) == ["3", "4"]
    assert arrivals(bare, "[5,null]") == ([], "[5,null]")


def test_what_is_no_record_is_broken_and_the_others_go_on() -> None:
    def mixed() -> Iterator[Any]:
        yield from ({"n": 1}, "text", {"n": 2})

    found, _ = arrivals(mixed)

    assert [one.data for one in found] == [{"n": 1}, None, {"n": 2}]
    assert (found[1].offset, found[1].error, found[1].raw) == ("1", "a record is a dict, not str", b"'text'")


def test_dataclasses_are_records_and_none_is_nothing() -> None:
    @dataclass
    class Order:
        id: int

    assert [one.data for one in arrivals(lambda: iter([Order(1), None, Order(2)]))[0]] == [
        {"id": 1},
        {"id": 2},
    ]


def test_what_came_before_the_function_raised_is_read() -> None:
    def failing() -> Iterator[dict[str, int]]:
        yield {"n": 1}
        raise KeyError("gone")

    reading = iter(PythonSource(lambda: failing, "feeds:failing", "read", {}).read("feeds:failing", "", 10))
    assert next(reading).records == [{"n": 1}]
    with pytest.raises(SourceError, match="stage 'read': feeds:failing raised KeyError: 'gone'"):
        next(reading)


class Strange(BaseException):
    """What no `except Exception` catches."""


@pytest.mark.parametrize("error", [Strange("odd"), KeyboardInterrupt(), SystemExit(3)])
def test_whatever_the_function_raises_ends_the_reading(error: BaseException) -> None:
    def raising() -> Iterator[dict[str, Any]]:
        yield {"n": 1}
        raise error

    with pytest.raises(SourceError, match=f"feeds:f raised {type(error).__name__}"):
        arrivals(raising)


def test_a_position_that_comes_twice_is_refused() -> None:
    reading = iter(
        PythonSource(lambda: lambda: iter([("a", {}), ("a", {})]), "f:f", "read", {}).read("f:f", "", 10)
    )
    assert len(next(reading).records) == 1
    with pytest.raises(SourceError, match="yielded the position 'a' twice"):
        next(reading)


def test_what_was_yielded_comes_at_once_though_the_next_takes_long() -> None:
    more = threading.Event()

    def slow() -> Iterator[dict[str, int]]:
        yield {"n": 1}
        more.wait(10)

    reading = iter(PythonSource(lambda: slow, "f:slow", "read", {}).read("f:slow", "", 10))
    assert next(reading).records == [{"n": 1}]
    more.set()
    assert list(reading) == []


def test_closing_ends_an_async_function_where_it_waits_and_has_it_clean_up() -> None:
    cleaned = threading.Event()

    async def endless() -> AsyncIterator[dict[str, int]]:
        try:
            yield {"n": 1}
            await asyncio.sleep(60)
        finally:
            cleaned.set()

    source = PythonSource(lambda: endless, "f:endless", "read", {})
    reading = iter(source.read("f:endless", "", 10))
    next(reading)
    source.close()
    assert list(reading) == []
    assert cleaned.wait(5)
