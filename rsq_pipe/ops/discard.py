"""Discard: exports everything a removed stage holds to a file, then deletes it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from rsq_pipe.engine.changes.change import compare
from rsq_pipe.engine.changes.last_run import describe, known, positions
from rsq_pipe.engine.changes.past import Holding, Past, read_past
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.engine.state.hold import hold_field
from rsq_pipe.engine.state.state_keys import state_keys
from rsq_pipe.errors import RsqPipeError, UnknownStageError
from rsq_pipe.model.counters import ALL_COUNTED
from rsq_pipe.ops.held_records import HeldRecords
from rsq_pipe.ops.remembered import Description, described_by
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load_former
from rsq_pipe.streams import moving
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.suggestion import suggest


class Discarded(Struct, frozen=True):
    """
    Report what was deleted.

    Args:
        stage: The stage.
        held: What the stage held.
        exported: How many records were written to the file; if none, there is no file.
        file: The file.
    """

    stage: str
    held: Holding
    exported: int
    file: Path


async def discard(client: StreamClient, graph: Graph, stage: str, file: Path) -> Discarded:
    """
    Export what a stage holds to a file, then delete it: waiting and pending entries, retries, dead letters.

    Counters and positions are deleted too. Records that it wrote for other stages stay.

    Args:
        client: The server.
        graph: The pipeline file, which no longer has the stage.
        stage: The stage's name.
        file: A new file of JSON lines; it gets this name once complete.

    Raises:
        UnknownStageError: The file still has the stage, or no run had one of that name.
        PipelineBusyError: A process runs the pipeline.
        OSError: The file cannot be written; nothing was deleted.

    Cancellation: all or nothing is deleted; calling again is safe.
    Redis: XPENDING, XRANGE and ZRANGE, page by page, then empty.lua.
    """
    await Presence(client, graph.pipeline).refuse_others()
    past = await read_past(client, graph.pipeline)
    check_discard(graph, past, stage)
    held = HeldRecords(client, graph, stage, await asyncio.to_thread(_description, graph, past, stage))
    state = await state_keys(client, graph.pipeline, stage)
    holding, meta = past.holdings.get(stage, Holding()), Keyspace(graph.pipeline).meta
    if any(own.name == stage for own in graph.stages):
        # The stage that has this name now cannot use what it remembers; all else is its own.
        exported = await _export(held.remembered(state), file)
        await moving.empty(client, meta, stage, streams=[], keys=state, fields=[])
        return Discarded(stage, Holding(keys=holding.keys), exported, file)
    for name, stream in past.readings:
        if name == stage:
            held.ends[stream] = await held.newest(stream)
    exported = await _export(chained(held.lines(), held.remembered(state)), file)
    await _empty(client, meta, past, held, state)
    # After deleting: if killed here it can be repeated, as the stored graph has the stage until the next run.
    await client.channel.execute("HSET", meta, discarded_field(stage), 1, key=meta)
    return Discarded(stage, holding, exported, file)


async def _empty(
    client: StreamClient, meta: str, past: Past, held: HeldRecords, state: Sequence[str]
) -> None:
    """Delete what was exported, and the stage's counters and positions."""
    stage, again_stream = held.stage, f"{held.prefix}:again"
    placed = positions(past.fields, stage)
    targets = ("source", *(field.split(":", 2)[2] for field in placed))
    leases = [f"{held.prefix}:lease:{target}{what}" for target in targets for what in ("", ":epoch")]
    counters = [f"{stage}:{what}" for what in ALL_COUNTED]
    await moving.empty(
        *(client, meta, stage),
        streams=[(stream, end) for stream, end in held.ends.items() if stream != again_stream],
        keys=[
            again_stream,
            *(f"{held.prefix}:{own}" for own in ("retry", "dlq", "drops", "unknown", "journal")),
            *state,
            *leases,
        ],
        fields=[*placed, f"replace:{stage}", f"group:{stage}:{again_stream}", hold_field(stage), *counters],
    )


def discarded_field(stage: str) -> str:
    """Name the field that marks a stage as discarded: a restarted service repeats its command."""
    return f"discarded:{stage}"


def check_discard(graph: Graph, past: Past, stage: str) -> None:
    """
    Refuse a stage that can use what it left, and one that no run had: the misspelt one would silently stay.

    Raises:
        UnknownStageError: The stage is one of these.
    """
    here = [own.name for own in graph.stages]
    stranded = [change.stage for change in compare(graph.pipeline, past, describe(graph)).stranded]
    if stage in here and stage not in stranded:
        what = f"the file still has the stage {stage!r}; --discard is for a stage that it no longer has"
        raise UnknownStageError(what, stage=stage)
    names = sorted({*past.last.names, *known(past.fields)})
    if stage in (*here, *names) or discarded_field(stage) in past.fields:
        return
    gone = [name for name in names if name not in here]
    fix = suggest(stage, gone) or "its stages are all in the file; leave --discard out"
    raise UnknownStageError(
        f"pipeline {graph.pipeline!r} never ran with a stage {stage!r}; {fix}", stage=stage
    )


def _description(graph: Graph, past: Past, name: str) -> Description | None:
    """Return how a stage's state is shown, by the file as it was last run; None if that is unknown."""
    try:
        ran = load_former(past.last.text, graph)
        stage = ran.stage(name)
    except (RsqPipeError, KeyError):
        return None
    return described_by(ran, stage) if stage.verb in {"aggregate", "join"} else None


async def chained(*parts: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """Yield the items of several iterators."""
    for part in parts:
        async for line in part:
            yield line


async def _export(lines: AsyncIterator[dict[str, Any]], file: Path) -> int:
    """Write every record to a file that gets its name only once complete and on disk."""
    # Named after this process: a killed one leaves its partial file behind.
    part, count = file.with_name(f".{file.name}.{os.getpid()}.part"), 0
    try:
        with part.open("wb") as out:
            async for line in lines:
                out.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
                count += 1
            out.flush()
            os.fsync(out.fileno())
        if count:
            part.rename(file)
    finally:
        part.unlink(missing_ok=True)
    return count
