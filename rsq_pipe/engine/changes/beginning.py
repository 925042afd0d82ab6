"""Beginning: what a run does before its stages work, and again where others did meanwhile."""

from __future__ import annotations

import structlog

from rsq_pipe.engine.changes.anew import check_anew
from rsq_pipe.engine.changes.changeover import change_over
from rsq_pipe.engine.changes.elsewhere import tell_of_others
from rsq_pipe.engine.changes.provision import clear, last_graph, lay
from rsq_pipe.engine.presence import Presence
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient


async def begin(client: StreamClient, graph: Graph, presence: Presence, *, fresh: bool = False) -> None:
    """
    Become a run of the pipeline: be seen as one, take over what the last one left, make the groups.

    Args:
        client: The server.
        graph: The pipeline.
        presence: This run's; to be ended by the caller.
        fresh: Delete what the pipeline has before.

    Raises:
        PipelineChangedError: The file would strand what an earlier run left.
        SinkError: `fresh`, and a sink would refuse to start over: nothing was deleted.
        PipelineBusyError: Another run is up, and what is to be done takes that there is none.
        GroupLostError: A group was made by an earlier run and is not there any more.

    Cancellation: between two steps; beginning again goes on.
    """
    while True:
        # Shown before others are looked for: of two that start over at once, neither may miss the other.
        await presence.show()
        if fresh:
            await presence.refuse_others()
            await check_anew(client, graph)
            await clear(client, graph, presence)
            fresh = False
        seen = await last_graph(client, graph)
        await change_over(client, graph, presence)
        if await lay(client, graph, presence, seen):
            await tell_of_others(client, graph, presence)
            return
        structlog.get_logger("rsq_pipe").info("another run began meanwhile; looking again")
