"""Pausing and resuming a stage: what an operator does, whatever state the server is in."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.ops.hold import pause, resume
from tests.integration.ops.morgue import Morgue
from tests.support.server import StreamServer


async def test_a_stage_is_paused_and_resumed_on_a_server_that_is_full(
    own_server: StreamServer, name: str, tmp_path: Path
) -> None:
    morgue = Morgue(tmp_path / "project", name, own_server.url)
    morgue.shop()
    await morgue.bury(range(5))
    await morgue.redis("CONFIG", "SET", "maxmemory", 1)

    before = await pause(morgue.client, morgue.graph, "out", "its disk is moved")
    held = (await morgue.state()).held
    found = await resume(morgue.client, morgue.graph, "out")
    state = await morgue.state()

    await morgue.redis("CONFIG", "SET", "maxmemory", 0)
    await morgue.close()
    assert (before, held["out"].why) == (None, "its disk is moved")
    assert found is not None
    assert found[0].why == "its disk is moved"
    assert (state.held, state.resumed) == ({}, {"out": 1})
