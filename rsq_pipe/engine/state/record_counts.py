"""Record counts: how many records streams of packs hold; the server counts only entries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import aclosing

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.state.count_fields import appended, held, packed, settled
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.entry import range_reply
from rsq_pipe.streams.entry_pages import entry_pages
from rsq_pipe.streams.link import Command
from rsq_pipe.streams.script import Script
from rsq_pipe.streams.stats import GroupInfo

PAGE = 50
"""Entries read at once to count records: each may be a pack."""

_BEGIN = Script("begin_count")


def to_do(
    table: Mapping[str, str], stream: str, group: GroupInfo, *, undelivered: bool
) -> tuple[int | None, int]:
    """
    Return how many records were not delivered to a group, and how many were delivered but not settled.

    The sum is exact. The split follows the numbers of entries, as if all held about as many records.

    Args:
        table: As in `held`.
        stream: The stream's key.
        group: The server's data of the group, in entries.
        undelivered: Whether there are entries not delivered to it.

    Returns:
        The first is None if neither the server nor the counts can tell.
    """
    lag = group.lag if undelivered else 0
    total = held(table, group.name, stream)
    # An entry holds at least one record. Without entries there are no records, whatever is counted.
    if total is None or (lag == 0 and group.pending == 0):
        return lag, group.pending
    if lag is None:
        return total - group.pending if total > group.pending else None, group.pending
    total = max(total, lag + group.pending)
    pending = round(total * group.pending / (lag + group.pending))
    pending = min(max(pending, group.pending), total - lag)
    return total - pending, pending


async def begin(client: StreamClient, graph: Graph) -> None:
    """
    Begin to count records for each group of a stream of packs that is not counted yet.

    In a new pipeline there is nothing to count. Entries left by an earlier release, or waiting for an
    inserted stage, are read once. Two runs may do this at once, as long as neither works before it is done.

    Raises:
        GroupLostError: A group does not exist.

    Cancellation: between two groups; calling again continues.
    Redis: begin_count.lua; XRANGE and XPENDING, page by page, if there is something to count.
    """
    meta = Keyspace(graph.pipeline).meta
    for stream, names in packed(graph).items():
        for name in names:
            args = [name, appended(stream), settled(name, stream)]
            stands, *before = await client.channel.run(_BEGIN, [stream, meta], args)
            if not stands:
                total, last, newest = before
                waiting = await records_between(client, stream, f"({last.decode()}", newest.decode())
                waiting += await records_pending(client, stream, name)
                await client.channel.run(_BEGIN, [stream, meta], [*args, int(total) - waiting])


async def records_between(
    client: StreamClient, stream: str, start: str, end: str, *, most: float = float("inf")
) -> int:
    """
    Count the records in a range of a stream.

    Args:
        start, end: As in XRANGE.
        most: Stop counting above this; the count is then larger than it.
    """
    count = 0
    async with aclosing(entry_pages(client.channel, stream, start, end, size=PAGE)) as pages:
        async for page in pages:
            count += sum(entry.records for entry in page)
            if count > most:
                break
    return count


async def records_pending(
    client: StreamClient,
    stream: str,
    group: str,
    *,
    consumer: str | None = None,
    idle_below_ms: float = math.inf,
) -> int:
    """
    Count the records that were delivered to a group, or to one of its consumers, but not settled.

    Args:
        client, stream, group, consumer: Whose.
        idle_below_ms: Only those that were delivered less long ago than this.
    """
    count, start = 0, "-"
    while True:
        page = await client.pending_range(stream, group, start, count=PAGE, consumer=consumer)
        commands: list[Command] = [
            ["XRANGE", stream, entry.id, entry.id] for entry in page if entry.idle_ms < idle_below_ms
        ]
        for reply in await client.channel.exchange(commands, key=stream) if commands else ():
            if not isinstance(reply, Exception):
                count += sum(entry.records for entry in range_reply(stream, reply))
        if len(page) < PAGE:
            return count
        start = f"({page[-1].id}"
