"""Beginning: what a run does before its stages work, and again if another run has begun since."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path

import structlog

from rsq_pipe.engine.changes.changeover import change_over
from rsq_pipe.engine.changes.fresh_check import check_fresh
from rsq_pipe.engine.changes.provision import clear, last_graph, lay
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.errors import StreamFullError
from rsq_pipe.server.home import Home
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient

FILE = "file"
"""The field of the pipeline's hash with the location of the file that ran last: `host:path`."""

_log = structlog.get_logger("rsq_pipe")


async def begin(client: StreamClient, graph: Graph, presence: Presence, *, fresh: bool = False) -> None:
    """
    Register as a run of the pipeline, take over what the last run left, and make the groups.

    Args:
        client: The server.
        graph: The pipeline.
        presence: This run's; the caller ends it.
        fresh: First delete everything the pipeline has.

    Raises:
        NewerFormError: A newer release ran the pipeline, and stores things in another form.
        PipelineChangedError: The file would strand what an earlier run left.
        SinkError: `fresh`, and a sink would refuse to start over: nothing was deleted.
        PipelineBusyError: Another run is active, and a necessary change requires that there is none.
        GroupLostError: A group created by an earlier run no longer exists.

    Cancellation: between two steps; calling it again continues.
    """
    while True:
        # Register before looking for others: when two start over at once, each must see the other.
        await presence.show()
        if fresh:
            await presence.refuse_others()
            await check_fresh(client, graph)
            await clear(client, graph, presence)
            fresh = False
        seen = await last_graph(client, graph)
        await change_over(client, graph, presence)
        if await lay(client, graph, presence, seen):
            await _warn_of_another_file(client, graph, presence)
            return
        _log.info("another run began in the meantime; checking again")


async def _warn_of_another_file(client: StreamClient, graph: Graph, presence: Presence) -> None:
    """
    Warn if records may go to stages that are not in this file, and store where this file is.

    A new release also takes over this way, process by process, from a folder of its own, so nothing is
    refused. But two pipelines that share a name share everything, down to the sink's files.

    Redis: HGET and HSET of one field, and a check which runs are active.
    """
    runs = await presence.others_of_another_file()
    if runs:
        _log.warning(
            "another version of this pipeline's file is being run; until that is stopped, records go through "
            "the one or the other",
            pipeline=graph.pipeline,
            runs=", ".join(runs),
        )
    here = f"{platform.node()}:{graph.path.resolve()}"
    meta = Keyspace(graph.pipeline).meta
    last = (await client.channel.execute("HGET", meta, FILE, key=meta) or b"").decode(errors="replace")
    if last == here:
        return
    if _is_there(last) and not _came_along(client, graph):
        _log.warning(
            "this pipeline was last run from another file, and continues where that one stopped; if they are "
            "two pipelines, give one of them another name",
            pipeline=graph.pipeline,
            last=last.partition(":")[2],
        )
    with contextlib.suppress(StreamFullError):
        await client.channel.execute("HSET", meta, FILE, here, key=meta)


def _is_there(place: str) -> bool:
    """Return whether a location is a file that still exists on this machine."""
    host, _, path = place.partition(":")
    return bool(path) and host == platform.node() and Path(path).is_file()


def _came_along(client: StreamClient, graph: Graph) -> bool:
    """Return whether the server's data is inside the project: a copy of the project then has its own data."""
    return str(Home(graph.root).socket) in client.channel.address
