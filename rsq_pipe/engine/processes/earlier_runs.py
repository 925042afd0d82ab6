"""Earlier runs: what a new run finds of those before it, and what it stores for later ones."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

import structlog

from rsq_pipe.engine.changes.lost_place import all_lost, has_lost_all
from rsq_pipe.engine.changes.provision import inherit
from rsq_pipe.engine.failures.last_failure import CUT_OFF, UNREAD, LastFailure
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.engine.processes.supervised import is_supervised
from rsq_pipe.engine.state.source_ends import SourceEnds
from rsq_pipe.errors import StreamFullError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient


async def check_data(client: StreamClient, graph: Graph) -> None:
    """
    Refuse a server without data, if this is one of a supervisor's processes: the supervisor has stored some.

    A process that is started again would take it for a new server, and read all sources from the start.

    Raises:
        GroupLostError: There is nothing of the pipeline.
    """
    if is_supervised() and await has_lost_all(client, graph):
        raise all_lost(client, graph)


async def log_dead_processes(presence: Presence, failure: LastFailure) -> None:
    """
    Log once which earlier processes died without an error message, and store it as how the last run ended.

    Nothing is said if an error was stored later: it is how the run ended. If a run has several processes, its
    supervisor does this.

    Raises:
        ServerUnavailableError: The server cannot be reached.

    Redis: ZRANGE; HGET, HSET and ZREM if there are any.
    """
    dead = {} if is_supervised() else await presence.dead()
    if not dead:
        return
    known = await failure.stored()
    if cut_off := known is None or known.at < max(dead.values()):
        structlog.get_logger("rsq_pipe").warning(f"an earlier run: {CUT_OFF}", processes=sorted(dead))
    # A full server stores no note; the run that is to drain it begins all the same.
    with suppress(StreamFullError):
        if cut_off:
            await failure.keep(CUT_OFF, max(dead.values()))
        await presence.forget(dead)


async def take_over(client: StreamClient, graph: Graph) -> None:
    """Take over what dead processes had in flight, and log in which stages."""
    freed = await inherit(client, graph)
    if freed:
        log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline)
        what = "took over what a process that is gone had in flight"
        log.info(what, records=sum(freed.values()), stages=sorted(freed))


async def begin_reading(client: StreamClient, graph: Graph, names: Collection[str], *, may_end: bool) -> None:
    """
    Note that the sources of the pipeline have not ended, until a run has seen all of them end.

    Args:
        client, graph: The pipeline.
        names: The stages that are run.
        may_end: Whether this run would see the end of all sources.

    Redis: HMGET, HDEL, HSET.
    """
    has_sources = any(stage.verb == "source" for stage in graph.stages)
    # Not by each of several processes: one may begin after another has seen the end.
    if is_supervised():
        return
    await SourceEnds(client, graph, names).begin()
    if has_sources and may_end:
        meta = Keyspace(graph.pipeline).meta
        with suppress(StreamFullError):  # as above
            await client.channel.execute("HSET", meta, UNREAD, "1", key=meta)
