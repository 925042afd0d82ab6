"""Pausing and resuming a stage: what an operator does, whatever state the server is in."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.ops.hold import pause, resume
from tests.integration.ops.shop import Shop
from tests.support.server import StreamServer


async def test_a_stage_is_paused_and_resumed_on_a_server_that_is_full(
    own_server: StreamServer, name: str, tmp_path: Path
) -> None:
    shop = Shop(tmp_path / "project", name, own_server.url)
    await shop.add_letters(range(5))
    await shop.redis("CONFIG", "SET", "maxmemory", 1)

    before = await pause(shop.client, shop.graph, "out", "its disk is moved")
    held = (await shop.state()).held
    found = await resume(shop.client, shop.graph, "out")
    state = await shop.state()

    await shop.redis("CONFIG", "SET", "maxmemory", 0)
    await shop.close()
    assert (before, held["out"].why) == (None, "its disk is moved")
    assert found is not None
    assert found[0].why == "its disk is moved"
    assert (state.held, state.resumed) == ({}, {"out": 1})
