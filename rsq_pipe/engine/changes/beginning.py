"""Beginning: what a run does before its stages work, and again if another run has begun since."""

from __future__ import annotations

import structlog

from rsq_pipe.engine.changes.changeover import change_over
from rsq_pipe.engine.changes.elsewhere import warn_of_another_file
from rsq_pipe.engine.changes.fresh_check import check_fresh
from rsq_pipe.engine.changes.provision import clear, last_graph, lay
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient


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
            await warn_of_another_file(client, graph, presence)
            return
        structlog.get_logger("rsq_pipe").info("another run began in the meantime; checking again")
