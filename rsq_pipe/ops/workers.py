"""Workers: the workers of a pipeline, their hosts, and their records in flight; gone ones included."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.ownership.presence import SECONDS
from rsq_pipe.engine.state.record_counts import records_pending
from rsq_pipe.ops.inputs import is_alive
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.clock import server_time
from rsq_pipe.streams.link import Command
from rsq_pipe.streams.stats import ConsumerInfo, consumer_info, pending_entry
from rsq_pipe.streams.worker import is_gone

COUNTED = 1_000
"""Entries in flight up to which their records are counted; beyond that, entries are counted."""

_NAME = re.compile(r"(?s:.*)_([^_]+)\.[0-9a-f]+_(\d+)-[0-9a-f]{12}")


class Run(Struct, frozen=True):
    """
    Describe a process that runs a pipeline.

    Args:
        name: Its name, as other processes see it.
        host, pid: Its host and process; empty and None if the name does not contain them.
        last_seen: Its last sign of life, in seconds since 1970.
        gone: Whether it is known no longer to exist.
    """

    name: str
    host: str
    pid: int | None
    last_seen: float
    gone: bool


class Worker(Struct, frozen=True):
    """
    Describe one worker of a stage.

    Args:
        stage, consumer: The stage, and the worker's name there.
        host, pid: Its host and process.
        in_flight: Records delivered to it and not settled.
        since: When the oldest of them was delivered, or last reported as being handled; None if none.
        oldest: When the oldest of them was written; None if there is none.
        last_seen: Its last sign of life, in seconds since 1970.
        gone: Whether its process no longer exists, or has been silent for too long.
    """

    stage: str
    consumer: str
    host: str
    pid: int | None
    in_flight: int
    since: float | None
    oldest: float | None
    last_seen: float | None
    gone: bool


async def runs(client: StreamClient, pipeline: str) -> list[Run]:
    """
    List the processes that run a pipeline.

    Redis: TIME, ZRANGEBYSCORE.
    """
    key = Keyspace(pipeline).runs
    since = await server_time(client, key) - SECONDS
    flat = await client.channel.execute("ZRANGEBYSCORE", key, f"({since}", "+inf", "WITHSCORES", key=key)
    names = [name.decode() for name in flat[::2]]
    return [
        Run(name, *placed(name), float(at), is_gone(name)) for name, at in zip(names, flat[1::2], strict=True)
    ]


async def workers(client: StreamClient, graph: Graph, alive: Iterable[Run]) -> list[Worker]:
    """
    List the workers of a pipeline's stages.

    Redis: TIME; XINFO CONSUMERS of each input, XPENDING and XRANGE if something is in flight; GET.
    """
    keys, names = Keyspace(graph.pipeline), [run.name for run in alive if not run.gone]
    now = await server_time(client, keys.meta)
    found: list[Worker] = []
    for stage in graph.stages:
        seen: dict[str, Worker] = {}
        for key in keys.inputs(stage):
            for info in await _consumers(client, key, stage.name):
                one = await _worker(client, key, stage.name, info, now)
                gone = not is_alive(info, names, graph.reclaim_idle)
                seen[info.name] = _together(seen.get(info.name), one, gone=gone)
        found += seen.values()
        if stage.verb == "source":
            lease = keys.lease(stage, "source")
            holder = await client.channel.execute("GET", lease, key=lease)
            if holder is not None:
                name = holder.decode()
                found.append(Worker(stage.name, name, *placed(name), 0, None, None, None, is_gone(name)))
    return found


async def _consumers(client: StreamClient, stream: str, group: str) -> list[ConsumerInfo]:
    command: Command = ["XINFO", "CONSUMERS", stream, group]
    (reply,) = await client.channel.exchange([command], key=stream)
    return [] if isinstance(reply, Exception) else [consumer_info(one) for one in reply]


async def _worker(client: StreamClient, stream: str, group: str, info: ConsumerInfo, now: float) -> Worker:
    since = oldest = None
    in_flight = info.pending
    if info.pending:
        command: Command = ["XPENDING", stream, group, "-", "+", 1, info.name]
        (reply,) = await client.channel.exchange([command], key=stream)
        for entry in () if isinstance(reply, Exception) else map(pending_entry, reply):
            since, oldest = now - entry.idle_ms / 1000, int(entry.id.partition("-")[0]) / 1000
        if info.pending <= COUNTED:
            in_flight = await records_pending(client, stream, group, consumer=info.name)
    last = now - info.idle_ms / 1000
    return Worker(group, info.name, *placed(info.name), in_flight, since, oldest, last, gone=False)


def _together(one: Worker | None, other: Worker, *, gone: bool) -> Worker:
    """Merge the data of one worker from several inputs; it is alive if it is alive on any of them."""
    parts = [part for part in (one, other) if part is not None]
    return Worker(
        *(other.stage, other.consumer, other.host, other.pid),
        in_flight=sum(part.in_flight for part in parts),
        since=min((part.since for part in parts if part.since is not None), default=None),
        oldest=min((part.oldest for part in parts if part.oldest is not None), default=None),
        last_seen=max((part.last_seen for part in parts if part.last_seen is not None), default=None),
        gone=gone and (one is None or one.gone),
    )


def placed(name: str) -> tuple[str, int | None]:
    """Parse the host and the process id from a name."""
    match = _NAME.fullmatch(name)
    return (match[1], int(match[2])) if match else ("", None)
