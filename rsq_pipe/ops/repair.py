"""Repair: lets a sink continue in a file that does not match its stored position."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct

from rsq_pipe.connectors.files.held_file import HeldFile
from rsq_pipe.connectors.sink import RepairableSink
from rsq_pipe.connectors.table import connector
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.ownership.ownership import SECONDS
from rsq_pipe.engine.sinks.target import position_field
from rsq_pipe.errors import PipelineBusyError, SinkError
from rsq_pipe.spec.graph import ConnectorRef, Graph, Stage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.lease import Lease
from rsq_pipe.streams.settlement import Position


class Finding(Struct, frozen=True):
    """
    Describe what was found for one sink.

    Args:
        stage: The sink.
        stored: Its stored position, including the epoch; empty if there is none.
        file: Its file; None if nothing was ever committed to one.
    """

    stage: str
    stored: str
    file: HeldFile | None

    @property
    def is_broken(self) -> bool:
        """Whether every run would end with an error because of the file."""
        return self.file is not None and not self.file.goes_on


async def examine(client: StreamClient, graph: Graph, stage: Stage) -> Finding:
    """
    Compare a sink's file with its stored position; change nothing.

    Raises:
        SinkError: The stage's sink keeps no position in a file, or the file cannot be read.
    """
    sink = _sink(graph, stage)
    meta = Keyspace(graph.pipeline).meta
    reply = await client.channel.execute("HGET", meta, position_field(stage, sink.target), key=meta)
    stored = reply.decode() if reply else ""
    _, bar, place = stored.partition("|")
    if not bar:
        return Finding(stage.name, stored, None)
    return Finding(stage.name, stored, await asyncio.to_thread(_look, sink.held, place, stage))


async def repair(client: StreamClient, graph: Graph, stage: Stage, found: Finding) -> None:
    """
    Store the end of a sink's file as its position, so that the next run continues after its content.

    The file is not changed. Other writers are fenced by the epoch that is stored with the position.

    Raises:
        PipelineBusyError: Another process writes the file, or has written it since it was examined.

    Cancellation: the position is stored or is not.
    Redis: lease.lua, HGET, settle.lua.
    """
    sink, keys = _sink(graph, stage), Keyspace(graph.pipeline)
    lease = Lease(client, keys.lease(stage, sink.target), SECONDS)
    if not await lease.take():
        raise PipelineBusyError(
            f"stage {stage.name!r}: {sink.target} is being written by {lease.holder}; stop that first. "
            f"A process that was killed on another machine counts for {SECONDS:.0f}s more",
            runs=[lease.holder],
        )
    try:
        again = await examine(client, graph, stage)
        if again != found or found.file is None:
            raise _changed(stage, sink.target)
        new = f"{lease.epoch}|{found.file.position}"
        field = position_field(stage, sink.target)
        settled = await client.ingest(Position(keys.meta, field, found.stored, new), ())
        if settled.refused is not None:
            raise _changed(stage, sink.target)
    finally:
        await lease.drop()


def _sink(graph: Graph, stage: Stage) -> RepairableSink:
    ref: ConnectorRef | None = stage.options if stage.verb == "sink" else None
    connect = connector("sink", ref.type).connect if ref else None
    sink = connect(ref.options, stage=stage.name, root=graph.root) if ref and connect else None
    if not isinstance(sink, RepairableSink):
        what = f"a {ref.type!r} sink, which" if ref else "no sink, and"
        raise SinkError(f"stage {stage.name!r} is {what} keeps no position in a file", stage=stage.name)
    return sink


def _look(held: Callable[[str], HeldFile], place: str, stage: Stage) -> HeldFile:
    try:
        return held(place)
    except ValueError as exc:
        message = f"stage {stage.name!r}: {place!r} is not a stored position; use --fresh to start over"
        raise SinkError(message, stage=stage.name) from exc


def _changed(stage: Stage, target: str) -> PipelineBusyError:
    return PipelineBusyError(
        f"stage {stage.name!r}: {target} or its position has changed since; nothing was stored, look again",
        runs=[],
    )
