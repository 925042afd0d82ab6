"""MemoryUse: what takes a server's memory, asked for only when it is full."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Literal

from msgspec import Struct

from rsq_pipe.engine.keyspace import Keyspace, groups, published
from rsq_pipe.spec.fusing import has_state
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.memory import sizes_of

PARTS = 1_000
"""Maximum number of parts of a stage's state that are measured; the size of the others is estimated."""

What = Literal["input", "dead", "state", "published", "reports", "others", "server"]


class MemoryUse(Struct, frozen=True):
    """
    Say what one kind of data takes; the server estimates a key's size from some of its entries.

    Args:
        what: `input`: what a stage reads, and what waits to be retried; `dead`: its dead letters; `state`;
            `published`: a stream that no stage reads; `reports`: journals, history and counters of the
            pipeline; `others`: all other keys of the server; `server`: the server itself and its clients.
        name: The stage or the stream; empty for the last three.
        bytes: About how much.
    """

    what: What
    name: str
    bytes: int


async def memory_use(
    client: StreamClient, graph: Graph, backlogs: Mapping[str, int]
) -> tuple[MemoryUse, ...]:
    """
    Return what takes the memory of the server that holds a pipeline, the largest first.

    Args:
        client: The server.
        graph: The pipeline.
        backlogs: Stage -> its backlog; of several stages that read one stream, the largest counts.

    Returns:
        Nothing if the user may not ask.

    Redis: MEMORY USAGE per key of the pipeline, ZCARD and ZRANGE per stage with state; INFO.
    """
    keys = list(_keys(graph, backlogs))
    parts = [found async for found in _parts(client, graph)]
    names = [key for *_, key in keys] + [key for _, of, _ in parts for key in of]
    sizes = await sizes_of(client, names, Keyspace(graph.pipeline).meta)
    if sizes is None:
        return ()
    found = defaultdict[tuple[What, str], int](int)
    for what, name, key in keys:
        found[what, name] += sizes.keys[key]
    for stage, of, share in parts:
        found["state", stage] += round(sum(sizes.keys[key] for key in of) / share)
    found["others", ""], found["server", ""] = sizes.others, sizes.server
    uses = (MemoryUse(what, name, size) for (what, name), size in found.items() if size)
    return tuple(sorted(uses, key=lambda use: -use.bytes))


def _keys(graph: Graph, backlogs: Mapping[str, int]) -> Iterator[tuple[What, str, str]]:
    """List the keys of the pipeline but for the parts of its states, each once."""
    keys = Keyspace(graph.pipeline)
    for stage in graph.stages:
        yield "dead", stage.name, keys.dlq(stage)
        yield "input", stage.name, keys.retry(stage)
        yield "reports", "", keys.journal(stage)
        if has_state(stage):
            yield "state", stage.name, keys.state(stage)
            yield "state", stage.name, keys.timers(stage)
    for key in (keys.meta, keys.history, keys.calls, keys.audit):
        yield "reports", "", key
    dead, read = {keys.dlq(stage) for stage in graph.stages}, groups(graph)
    for stream, readers in read.items():
        if stream not in dead:
            yield "input", max(readers, key=lambda name: backlogs.get(name, 0)), stream
    for stream in published(graph):
        if stream not in read:
            yield "published", stream, stream


async def _parts(client: StreamClient, graph: Graph) -> AsyncIterator[tuple[str, list[str], float]]:
    """Name parts of each stage's state, and the share of all parts that they are."""
    keys = Keyspace(graph.pipeline)
    for stage in graph.stages:
        if not has_state(stage):
            continue
        timers, state = keys.timers(stage), keys.state(stage)
        count, names = await client.channel.exchange(
            [["ZCARD", timers], ["ZRANGE", timers, 0, PARTS - 1]], key=timers
        )
        if isinstance(names, list) and names:
            yield stage.name, [f"{state}:{name.decode()}" for name in names], len(names) / int(count)
