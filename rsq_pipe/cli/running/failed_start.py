"""Failed start: stores on the server why a run could not begin, so that `status` and the page can tell it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rsq_pipe.cli.options.server_address import connect, is_unborn, server_address
from rsq_pipe.engine.failures.last_failure import LastFailure
from rsq_pipe.engine.housekeeping.briefly import briefly
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.engine.processes.supervised import is_supervised
from rsq_pipe.error_text import one_line
from rsq_pipe.errors import NewerFormError, RsqPipeError, ServerStartError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient


@contextmanager
def storing_refusal(graph: Graph, url: str | None) -> Iterator[None]:
    """Store an error that is raised inside, before the run has connected to its server."""
    try:
        yield
    except RsqPipeError as exc:
        if not is_supervised() and not is_unborn(graph, url):
            with suppress(ServerStartError), server_address(graph, url) as address:
                asyncio.run(_connect_and_store(address, graph, exc))
        raise


async def _connect_and_store(address: str, graph: Graph, error: RsqPipeError) -> None:
    async with connect(address) as client:
        await store_failed_start(client, graph, error)


async def store_failed_start(client: StreamClient, graph: Graph, error: RsqPipeError) -> None:
    """
    Store why a run could not begin, if the server answers soon.

    Not while others run the pipeline: the status is theirs, and nothing would ever clear it.

    Redis: ZRANGEBYSCORE, TIME; HSET.
    """

    async def store() -> None:
        if is_supervised() or not await Presence(client, graph.pipeline).others():
            await LastFailure(client, graph).keep(one_line(error), time.time())

    if not isinstance(error, NewerFormError):  # another release's data, which this one leaves alone
        await briefly(store())
