"""A gate closes while there is no room below."""

from __future__ import annotations

import asyncio

import pytest

from rsq_pipe.engine.backlog import Gate


@pytest.fixture
def turns() -> list[str]:
    return []


@pytest.fixture
def gate(turns: list[str]) -> Gate:
    return Gate(on_close=lambda: turns.append("closed"), on_open=lambda: turns.append("open"))


def test_it_begins_open() -> None:
    assert Gate().is_open


def test_it_closes_without_room_and_opens_with_some_and_says_so_once(gate: Gate, turns: list[str]) -> None:
    for room in (5, 0, -3, 1, 2):
        gate.grant(room)

    assert turns == ["closed", "open"]


def test_it_closes_when_the_room_is_spent_before_the_next_look(gate: Gate, turns: list[str]) -> None:
    gate.grant(10)

    gate.spend(9)
    assert gate.is_open
    gate.spend(1)

    assert turns == ["closed"]


def test_room_is_granted_anew_and_not_added_up(gate: Gate) -> None:
    gate.grant(10)
    gate.grant(10)

    gate.spend(10)

    assert not gate.is_open


async def test_whoever_waits_goes_on_when_it_opens(gate: Gate) -> None:
    gate.grant(0)
    waiting = asyncio.ensure_future(gate.passed())
    await asyncio.sleep(0)
    assert not waiting.done()

    gate.grant(1)

    await asyncio.wait_for(waiting, 1)
