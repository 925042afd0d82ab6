"""Prune: removes unused groups, and keys of removed stages, from the server."""

from __future__ import annotations

from msgspec import Struct

from rsq_pipe.engine.changes.change import Plan
from rsq_pipe.engine.changes.changeover import plan
from rsq_pipe.engine.changes.last_run import is_of, known, positions
from rsq_pipe.engine.changes.past import Past, read_past
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.engine.state.count_fields import count_fields_of
from rsq_pipe.engine.state.hold import hold_field
from rsq_pipe.engine.state.state_keys import state_keys
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.moving import empty

QUIET = 60.0
"""Seconds a group's consumers must have been silent: a group that is being read is not orphaned."""

_OWN = ("", ":again", ":retry", ":dlq", ":drops", ":journal")


class Pruned(Struct, frozen=True):
    """
    Report what was removed.

    Args:
        groups: The groups, as (group, stream).
        stages: Removed stages that held nothing, whose counters, positions and empty streams were deleted.
        active: Groups that were left because they are being read.
    """

    groups: tuple[tuple[str, str], ...] = ()
    stages: tuple[str, ...] = ()
    active: tuple[tuple[str, str], ...] = ()


async def prune(client: StreamClient, graph: Graph) -> Pruned:
    """
    Remove groups that no stage reads through, and everything that removed stages left except records.

    Records that a removed stage still holds stay: `run --rename` and `--discard` are for these.

    Raises:
        PipelineBusyError: A process runs the pipeline.

    Cancellation: between two groups or stages; calling again continues.
    Redis: XINFO CONSUMERS and XGROUP DESTROY per group; empty.lua per stage.
    """
    await Presence(client, graph.pipeline).refuse_others()
    found = await plan(client, graph)
    groups, active = [], []
    for group, stream in found.strangers:
        if await _is_read(client, group, stream):
            active.append((group, stream))
        else:
            await client.channel.execute("XGROUP", "DESTROY", stream, group, key=stream)
            groups.append((group, stream))
    past = await read_past(client, graph.pipeline)
    stages = _finished(past, found, graph)
    for stage in stages:
        await _forget(client, graph, past, stage)
    return Pruned(tuple(groups), tuple(stages), tuple(active))


async def _is_read(client: StreamClient, group: str, stream: str) -> bool:
    return any(info.idle_ms < QUIET * 1000 for info in await client.consumer_info(stream, group))


def _finished(past: Past, found: Plan, graph: Graph) -> list[str]:
    """Name the removed stages that hold nothing and have no position for the next run to pass on."""
    own = {stage.name for stage in graph.stages}
    asked = {change.stage for change in found.stranded}
    placed = {stage for stage, _ in past.readings}
    return [name for name in known(past.fields) if name not in own | asked | placed]


async def _forget(client: StreamClient, graph: Graph, past: Past, stage: str) -> None:
    head = f"{{{graph.pipeline}}}:{stage}"
    fields = positions(past.fields, stage)
    targets = ("source", *(field.split(":", 2)[2] for field in fields))
    ports = past.last.stage(stage).writes.values() if stage in past.last.names else ()
    streams = [f"{head}{own}" for own in _OWN] + [port for port in ports if port.startswith(f"{head}.")]
    read = {stream for _, stream in past.readings}  # a stage that reads it still has to pass that position on
    gone = [key for key in streams if key not in read]
    await empty(
        *(client, Keyspace(graph.pipeline).meta, stage),
        streams=[],
        keys=[
            *gone,
            *await state_keys(client, graph.pipeline, stage),
            *(f"{head}:lease:{target}{what}" for target in targets for what in ("", ":epoch")),
        ],
        fields=[
            *fields,
            hold_field(stage),
            *count_fields_of(stage, gone, past.fields),
            *(field for field in past.fields if is_of(stage, field) or field == f"replace:{stage}"),
        ],
    )
