"""Lost place: what is known of a lost group, and the commands that let its stage continue."""

from __future__ import annotations

import shlex

from rsq_pipe.engine.changes.last_run import GRAPH
from rsq_pipe.engine.keyspace import Keyspace, group_mark
from rsq_pipe.engine.state.count_fields import packed, settled
from rsq_pipe.engine.state.record_counts import records_between
from rsq_pipe.errors import GroupLostError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.units import counted

_UNKNOWN = ("", "1")  # the value of a mark before a position is noted
_COUNTED = 100
"""Maximum number of records counted behind the noted entry; beyond that, the message says "more"."""


async def lost_place(client: StreamClient, graph: Graph, stream: str, group: str) -> GroupLostError:
    """
    Make the error for a lost group: it says what the stream still holds and how far the stage had got.

    The group's count of settled records is deleted: the next run counts again when it creates the group.

    Redis: HEXISTS, HMGET, XLEN, XRANGE and XREVRANGE; HDEL.
    """
    execute, meta = client.channel.execute, Keyspace(graph.pipeline).meta
    if await has_lost_all(client, graph):
        return all_lost(client, graph, stream=stream, group=group)
    groups = [info.name for info in await client.group_info(stream)]
    if group not in groups:  # or it has been made again by now
        await execute("HDEL", meta, settled(group, stream), key=meta)
    fields = (group_mark(group, stream), f"{group}:in", f"{group}:retried")
    noted, received, retried = [
        value.decode() if value else "" for value in await execute("HMGET", meta, *fields, key=meta)
    ]
    done = counted(int(received or 0) - int(retried or 0), "record")
    what = (
        f"stage {group!r} lost its place: stream {stream!r} has no group {group!r} any more: it was flushed "
        f"or the group destroyed. By its counters the stage has done {done} in all. "
        "Nothing is read until you choose:"
    )
    choices = [
        *await _to_continue(client, stream, group, noted),
        *await _to_repeat_or_skip(client, graph, stream, group),
    ]
    if not choices:
        choices = ["- go on with what comes: the stream holds nothing", _command(stream, group, "0")]
    lines = [what, *choices, "- start over", f"    rsq-pipe run {graph.spec} --fresh"]
    return GroupLostError("\n".join(lines), stream=stream, group=group)


async def has_lost_all(client: StreamClient, graph: Graph) -> bool:
    """Return whether the server lacks even the pipeline's graph, which every run stores before it reads."""
    meta = Keyspace(graph.pipeline).meta
    return not await client.channel.execute("HEXISTS", meta, GRAPH, key=meta)


async def _to_continue(client: StreamClient, stream: str, group: str, noted: str) -> list[str]:
    """Say how the stage continues after the last entry noted as done; nothing if none was noted."""
    if noted in _UNKNOWN:
        return []
    behind = await records_between(client, stream, f"({noted}", "+", most=_COUNTED)
    many = f"more than {_COUNTED} records" if behind > _COUNTED else counted(behind, "record")
    return [
        f"- continue after {noted}, the last entry noted as done (every second), with {many} behind it",
        _command(stream, group, noted),
    ]


async def _to_repeat_or_skip(client: StreamClient, graph: Graph, stream: str, group: str) -> list[str]:
    """Say how the stage repeats or skips what the stream still holds; nothing if it is empty."""
    execute = client.channel.execute
    length = int(await execute("XLEN", stream, key=stream))
    if not length:
        return []
    first = (await execute("XRANGE", stream, "-", "+", "COUNT", 1, key=stream))[0][0].decode()
    last = (await execute("XREVRANGE", stream, "+", "-", "COUNT", 1, key=stream))[0][0].decode()
    return [
        f"- repeat all it still holds, {await _all(client, graph, stream, length)}, {first} to {last}",
        _command(stream, group, "0"),
        "- skip them",
        _command(stream, group, last),
    ]


def all_lost(client: StreamClient, graph: Graph, *, stream: str = "", group: str = "") -> GroupLostError:
    """Return the error for a server that lost not one group but everything; it says what can be done."""
    again = f"    rsq-pipe run {graph.spec}"
    what = (
        f"server {client.channel.address} has lost all that pipeline {graph.pipeline!r} had there: it was "
        "flushed, or started without its data. Nothing is read until you choose:"
    )
    without = (
        "- start from the beginning without it, by the same command: sources are read as on a new server; a "
        "sink that finds a file or a ledger of before stops the run, and writes nothing"
    )
    lines = [
        what,
        "- bring the server's data back (append-only file, snapshot, replica), then",
        again,
        without,
        "- start over, and replace what the sinks wrote",
        f"{again} --fresh",
    ]
    return GroupLostError("\n".join(lines), stream=stream, group=group)


async def _all(client: StreamClient, graph: Graph, stream: str, length: int) -> str:
    """Count a stream's records; without packs, that is the number of entries."""
    if stream in packed(graph):
        length = await records_between(client, stream, "-", "+")
    return counted(length, "record")


def _command(stream: str, group: str, start: str) -> str:
    return f"    redis-cli XGROUP CREATE {shlex.quote(stream)} {group} {start} MKSTREAM"
