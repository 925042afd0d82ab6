"""Entries that only wait count as handed out once less, and only while they are the worker's own."""

from __future__ import annotations

import asyncio

import pytest

from rsq_pipe.engine.pauses.uncounted_deliveries import UncountedDeliveries
from rsq_pipe.model.delivery import Delivery
from tests.integration.engine.packed import PackedLab


@pytest.fixture
async def held(lab: PackedLab) -> list[Delivery]:
    """Three entries that the consumer `one` has got."""
    stream = lab.key("x")
    for n in range(3):
        await lab.redis("XADD", stream, "*", "data", f'{{"n": {n}}}')
    await lab.redis("XGROUP", "CREATE", stream, "g", "0")
    reply = await lab.redis("XREADGROUP", "GROUP", "g", "one", "STREAMS", stream, ">")
    return [Delivery(stream, entry_id.decode(), 1) for entry_id, _ in reply[0][1]]


async def counts(lab: PackedLab) -> list[tuple[str, int]]:
    pending = await lab.redis("XPENDING", lab.key("x"), "g", "-", "+", 10)
    return [(owner.decode(), delivered) for _, owner, _, delivered in pending]


async def test_uncounted_deliveries_count_again_before_they_are_handled(
    lab: PackedLab, held: list[Delivery]
) -> None:
    uncounted = UncountedDeliveries(lab.client, "g", lambda: "one")

    await uncounted.uncount(held)
    assert await counts(lab) == [("one", 0)] * 3
    await uncounted.uncount(held)
    assert await counts(lab) == [("one", 0)] * 3, "once"
    await uncounted.recount(held[:1], asyncio.Event())
    assert await counts(lab) == [("one", 1), ("one", 0), ("one", 0)]
    await uncounted.recount_all()
    assert await counts(lab) == [("one", 1)] * 3


async def test_what_another_has_taken_over_stays_as_it_is(lab: PackedLab, held: list[Delivery]) -> None:
    uncounted = UncountedDeliveries(lab.client, "g", lambda: "one")
    await lab.redis("XCLAIM", lab.key("x"), "g", "two", 0, held[0].id)

    await uncounted.uncount(held)
    assert await counts(lab) == [("two", 2), ("one", 0), ("one", 0)]
    await lab.redis("XCLAIM", lab.key("x"), "g", "two", 0, held[1].id)
    await uncounted.recount(held, asyncio.Event())

    assert await counts(lab) == [("two", 2), ("two", 1), ("one", 1)]
