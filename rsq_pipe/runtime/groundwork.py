"""Groundwork: what must stand in Redis before a stage reads, and what `--fresh` takes away."""

from __future__ import annotations

import contextlib
import shlex

import structlog

from rsq_pipe.errors import SettleError, StreamFullError
from rsq_pipe.runtime.keyspace import Keyspace, group_mark, groups
from rsq_pipe.runtime.last_run import GRAPH, describe
from rsq_pipe.runtime.last_run import marks as made
from rsq_pipe.runtime.record_counts import begin, records_pending
from rsq_pipe.runtime.survey import lost
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.script import HAND_BACK
from rsq_pipe.streams.worker import is_gone

_IDLE_MS = 24 * 60 * 60 * 1000  # what entries of a consumer that is gone are made to show
_SCAN = 1_000
_TOLD = "strangers"  # the field that holds the groups the log has told of

log = structlog.get_logger("rsq_pipe")


async def lay(client: StreamClient, graph: Graph) -> None:
    """
    Make every group of the pipeline, before any source produces, and keep its graph for the next run.

    A group made later would miss what has been trimmed by then. What each has to do is counted in records
    from then on.

    Raises:
        GroupLostError: A group was made by an earlier run and is not there any more.
        SettleError: A key of the pipeline holds something else.
    """
    keys = Keyspace(graph.pipeline)
    # The marks are read before the groups: a group another run makes in between has no mark yet.
    marks = await marked(client, keys)
    strangers: list[str] = []
    for stream, names in groups(graph).items():
        there = {info.name for info in await client.group_info(stream)}
        if stream.startswith(f"{{{graph.pipeline}}}:"):
            strangers += [f"{name} of {stream}" for name in sorted(there - set(names))]
        for name in names:
            mark = group_mark(name, stream)
            if name not in there:
                if mark in marks:
                    raise lost(stream, name)
                await client.create_group(stream, name, await _start(client, keys, marks, name, stream))
            if mark not in marks:
                await client.channel.execute("HSET", keys.meta, mark, "1", key=keys.meta)
    await begin(client, graph)
    await _note_graph(client, keys, graph)
    await _tell_of_strangers(client, keys, graph, ", ".join(strangers))


async def _start(client: StreamClient, keys: Keyspace, marks: set[str], name: str, stream: str) -> str:
    """Find where a new group begins: at the oldest entry, or where its stage left the stream once."""
    field = f"left:{name}:{stream}"
    if field not in marks:
        return "0"
    start = await client.channel.execute("HGET", keys.meta, field, key=keys.meta)
    return start.decode() if start else "0"


async def _tell_of_strangers(client: StreamClient, keys: Keyspace, graph: Graph, strangers: str) -> None:
    """Warn once of groups that no stage reads through: what they have not read is kept for them for ever."""
    told = await client.channel.execute("HGET", keys.meta, _TOLD, key=keys.meta)
    if strangers == (told or b"").decode():
        return
    if strangers:
        log.warning(
            "groups that are no stage's keep entries from being trimmed",
            pipeline=graph.pipeline,
            groups=strangers,
            mend=f"rsq-pipe plan {shlex.quote(str(graph.path))} --prune",
        )
    with contextlib.suppress(StreamFullError):
        await client.channel.execute("HSET", keys.meta, _TOLD, strangers, key=keys.meta)


async def _note_graph(client: StreamClient, keys: Keyspace, graph: Graph) -> None:
    # Only what changed: a server that is full refuses to write, and a run is what empties it.
    fields = {"spec": graph.spec_hash.encode(), GRAPH: describe(graph).dump()}
    found = await client.channel.execute("HMGET", keys.meta, *fields, key=keys.meta)
    if list(fields.values()) != found:
        written = [word for pair in fields.items() for word in pair]
        await client.channel.execute("HSET", keys.meta, *written, key=keys.meta)


async def clear(client: StreamClient, graph: Graph) -> int:
    """
    Delete everything of the pipeline: streams, dead letters, positions, counters.

    Streams from outside are kept; the pipeline's groups on them are removed, so that it reads them anew.

    Returns:
        How many keys were deleted.
    """
    keys = Keyspace(graph.pipeline)
    # Also those of stages that are in the file no more.
    own = {(name, stream) for stream, names in groups(graph).items() for name in names}
    for name, stream in sorted(own | set(made(await marked(client, keys)))):
        if not stream.startswith(f"{{{graph.pipeline}}}:"):
            with contextlib.suppress(SettleError):  # there is no such stream
                await client.channel.execute("XGROUP", "DESTROY", stream, name, key=stream)
    cursor, deleted = b"0", 0
    while True:
        cursor, found = await client.channel.execute(
            "SCAN", cursor, "MATCH", keys.pattern, "COUNT", _SCAN, key=keys.meta
        )
        found = [key for key in found if key != keys.runs.encode()]
        if found:
            deleted += int(await client.channel.execute("UNLINK", *found, key=keys.meta))
        if cursor == b"0":
            break
    for stage in graph.stages:
        if stage.verb == "sink":
            await client.channel.execute("HSET", keys.meta, replacing(stage), "1", key=keys.meta)
    return deleted


def replacing(stage: Stage) -> str:
    """Name the field that says a sink may replace what it finds, once: whichever process opens it."""
    return f"replace:{stage.name}"


async def inherit(client: StreamClient, graph: Graph) -> int:
    """
    Free the entries of consumers whose process, on this machine, does not exist any more.

    Others wait until they have been idle for `reclaim: idle`; of these it is known at once.

    Returns:
        How many records the next reclaim will take over.
    """
    freed = 0
    for stream, names in groups(graph).items():
        for name in names:
            for consumer in await client.consumer_info(stream, name):
                if is_gone(consumer.name):
                    freed += await records_pending(client, stream, name, consumer=consumer.name)
                    await client.channel.run(HAND_BACK, [stream], [name, consumer.name, _IDLE_MS])
    return freed


async def marked(client: StreamClient, keys: Keyspace) -> set[str]:
    """List the groups that earlier runs made."""
    fields = await client.channel.execute("HKEYS", keys.meta, key=keys.meta)
    return {field.decode() for field in fields}
