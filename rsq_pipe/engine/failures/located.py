"""Located: adds to a server error which part of the pipeline it concerns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from rsq_pipe.engine.changes.lost_place import lost_place
from rsq_pipe.engine.housekeeping.briefly import briefly
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.state.state import lost
from rsq_pipe.errors import GroupLostError, SettleError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient


async def located(
    client: StreamClient, graph: Graph, exc: GroupLostError | SettleError
) -> GroupLostError | SettleError:
    """
    Add which group was lost, or which key holds another type, and what can be done about it.

    Returns:
        A new error, or the one given if no more is known.

    Redis: as `lost_place`; TYPE of each key of the pipeline.
    """
    if isinstance(exc, GroupLostError):
        if not (exc.stream and exc.group):
            return exc
        return await briefly(lost_place(client, graph, exc.stream, exc.group)) or lost(exc.stream, exc.group)
    if "WRONGTYPE" not in exc.reply:
        return exc
    return await briefly(_taken(client, graph, exc.reply)) or exc


@asynccontextmanager
async def locating(client: StreamClient, graph: Graph) -> AsyncIterator[None]:
    """Add the same details to server errors that are raised inside."""
    try:
        yield
    except (GroupLostError, SettleError) as exc:
        raise await located(client, graph, exc) from exc.__cause__


async def _taken(client: StreamClient, graph: Graph, reply: str) -> SettleError | None:
    """Find the first key that holds something other than what the pipeline would put there."""
    wanted = dict(_types(graph))
    found = await client.channel.scatter([["TYPE", key] for key in wanted], list(wanted))
    for (key, kind), type_reply in zip(wanted.items(), found, strict=True):
        there = type_reply.decode() if isinstance(type_reply, bytes) else str(type_reply)
        if there not in (kind, "none"):
            return SettleError(
                f"server {client.channel.address}: the key {key!r} holds a {there}, and pipeline "
                f"{graph.pipeline!r} needs a {kind} there; rename or delete that key, or give the pipeline "
                "another name",
                reply=reply,
            )
    return None


def _types(graph: Graph) -> Iterator[tuple[str, str]]:
    """List the keys of a pipeline, each with the type that TYPE should report."""
    keys = Keyspace(graph.pipeline)
    yield from ((keys.meta, "hash"), (keys.runs, "zset"), (keys.history, "stream"), (keys.calls, "hash"))
    yield from ((keys.housekeeping, "string"), (keys.rest, "string"), (keys.audit, "stream"))
    for stage in graph.stages:
        streams = (*keys.inputs(stage), *map(keys.stream, stage.outputs.values()))
        yield from ((key, "stream") for key in (*streams, keys.dlq(stage), keys.journal(stage)))
        yield from ((keys.retry(stage), "zset"), (keys.timers(stage), "zset"))
        yield from ((key, "hash") for key in (keys.drops(stage), keys.unknown(stage), keys.state(stage)))
        yield keys.rate(stage), "string"
