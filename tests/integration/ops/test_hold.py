"""Pausing and resuming a stage: what an operator does, whatever state the server is in."""

from __future__ import annotations

from rsq_pipe.ops.hold import pause, resume
from tests.integration.ops.shop import Shop


async def test_a_stage_is_paused_and_resumed_on_a_server_that_is_full(own_shop: Shop) -> None:
    await own_shop.add_letters(range(5))
    await own_shop.redis("CONFIG", "SET", "maxmemory", 1)

    before = await pause(own_shop.client, own_shop.graph, "out", "its disk is moved")
    held = (await own_shop.state()).held
    found = await resume(own_shop.client, own_shop.graph, "out")
    state = await own_shop.state()

    await own_shop.redis("CONFIG", "SET", "maxmemory", 0)
    assert (before, held["out"].why) == (None, "its disk is moved")
    assert found is not None
    assert found[0].why == "its disk is moved"
    assert (state.held, state.resumed) == ({}, {"out": 1})
