"""Hold: pause stages until they are resumed, whoever runs them."""

from __future__ import annotations

from rsq_pipe.engine.hold import Hold, hold_field, read_hold, resumed_field
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.clock import server_time


async def pause(client: StreamClient, graph: Graph, stage: str, why: str) -> Hold | None:
    """
    Pause a stage until it is resumed; running processes notice within about a second.

    Returns:
        Why it is paused already, which stays as it is; None if it was not.

    Redis: HGET, TIME, HSET.
    """
    meta, field = Keyspace(graph.pipeline).meta, hold_field(stage)
    before = await client.channel.execute("HGET", meta, field, key=meta)
    if before is not None:
        return read_hold(before)
    hold = Hold(why, await server_time(client, meta))
    await client.channel.execute("HSET", meta, field, hold.dump(), key=meta)
    return None


async def resume(client: StreamClient, graph: Graph, stage: str) -> tuple[Hold, float] | None:
    """
    Resume a stage; running processes notice within about a second.

    Returns:
        Why it was paused, and for how many seconds; None if it was not.

    Redis: HGET, HINCRBY, HDEL, TIME.
    """
    meta, field = Keyspace(graph.pipeline).meta, hold_field(stage)
    before = await client.channel.execute("HGET", meta, field, key=meta)
    if before is None:
        return None
    # Counted first: a process that is about to pause the stage for what it saw before must find it counted.
    await client.channel.execute("HINCRBY", meta, resumed_field(stage), 1, key=meta)
    await client.channel.execute("HDEL", meta, field, key=meta)
    hold = read_hold(before)
    return hold, max(0.0, await server_time(client, meta) - hold.since)
