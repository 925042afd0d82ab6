"""Changeover: takes over what the last run of a pipeline left, or refuses if that would strand something."""

from __future__ import annotations

from functools import partial

import structlog

from rsq_pipe.engine.changes.change import Plan, compare
from rsq_pipe.engine.changes.choices import refusal
from rsq_pipe.engine.changes.last_run import describe
from rsq_pipe.engine.changes.moves import Requeue
from rsq_pipe.engine.changes.past import read_past
from rsq_pipe.engine.encoding.codecs import Unfolding
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.engine.state.count_fields import settled
from rsq_pipe.errors import PipelineBusyError, PipelineChangedError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.moving import hand_over, requeue

log = structlog.get_logger("rsq_pipe")


async def plan(client: StreamClient, graph: Graph) -> Plan:
    """Find out what a run would do to what the last one left; change nothing."""
    return compare(graph.pipeline, await read_past(client, graph.pipeline), describe(graph))


async def change_over(client: StreamClient, graph: Graph, presence: Presence) -> None:
    """
    Let a pipeline continue with its file as it is now.

    Raises:
        PipelineChangedError: Something would be stranded; nothing was changed.
        PipelineBusyError: Positions in streams have to be moved, and a run of another file is active.

    Delivery: what a stage has left undone is done once, by the stage that reads in its place.
    Cancellation: between two moves; the next run continues.
    Redis: HKEYS and a MULTI to look; then hand_over.lua, requeue.lua.
    """
    found = await plan(client, graph)
    if found.stranded:
        runs = await presence.others_of_another_file()
        raise PipelineChangedError(
            partial(refusal, graph, found, runs=runs), stages=[change.stage for change in found.stranded]
        )
    if found.moves:
        await _refuse_others(presence, found)
    keys = Keyspace(graph.pipeline)
    for move in found.moves:
        if isinstance(move, Requeue):
            await _requeue(client, graph, move)
        elif not await hand_over(client, move.stream, keys.meta, move.stage, move.heirs):
            # Someone outside has written in the meantime: look again, and ask.
            await change_over(client, graph, presence)
            return
    if found.differs:
        log.info("the pipeline's file has changed since it was last run", changes=str(found))


async def _refuse_others(presence: Presence, found: Plan) -> None:
    others = await presence.others_of_another_file()
    if others:
        raise PipelineBusyError(
            f"pipeline {found.pipeline!r} is being run from another file by {', '.join(others)}; stop that "
            f"first: this one reads elsewhere ({found})",
            runs=others,
        )


async def _requeue(client: StreamClient, graph: Graph, move: Requeue) -> None:
    stage = graph.stage(move.stage)
    keys = Keyspace(graph.pipeline)
    moved = await requeue(
        *(client, move.stream, move.stage, keys.again_stream(stage)),
        count=(keys.meta, settled(move.stage, move.stream)),
        singles=Unfolding(graph).singles,
    )
    log.info(
        "a stage reads a different stream than before; it first gets what it had left undone in the old one",
        pipeline=graph.pipeline,
        stage=move.stage,
        stream=move.stream,
        records=moved,
    )
