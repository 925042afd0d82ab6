"""Hold: pauses stages in all processes until they are resumed."""

from __future__ import annotations

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.state.hold import Hold, hold_field, read_hold, resumed_field
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.clock import server_time
from rsq_pipe.streams.script import HOLD, RESUME


async def pause(client: StreamClient, graph: Graph, stage: str, why: str) -> Hold | None:
    """
    Pause a stage until it is resumed; running processes notice within about a second.

    Returns:
        The hold if it was already paused, which stays as it is; None if it was not.

    Redis: HMGET, TIME, hold.lua, on a full server too.
    """
    meta, field, resumed = Keyspace(graph.pipeline).meta, hold_field(stage), resumed_field(stage)
    while True:
        before, seen = await client.channel.execute("HMGET", meta, field, resumed, key=meta)
        if before is not None:
            return read_hold(before)
        hold = Hold(why, await server_time(client, meta))
        # Refused only if the stage was paused and resumed since the question.
        if await client.channel.run(HOLD, [meta], [field, hold.dump(), resumed, seen or 0]):
            return None


async def resume(client: StreamClient, graph: Graph, stage: str) -> tuple[Hold, float] | None:
    """
    Resume a stage; running processes notice within about a second.

    Returns:
        Why it was paused, and for how many seconds; None if it was not.

    Redis: resume.lua, on a full server too, which the stage may be about to empty; TIME.
    """
    meta = Keyspace(graph.pipeline).meta
    before = await client.channel.run(RESUME, [meta], [hold_field(stage), resumed_field(stage)])
    if before is None:
        return None
    hold = read_hold(before)
    return hold, max(0.0, await server_time(client, meta) - hold.since)
