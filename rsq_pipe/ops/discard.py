"""Discard: exports everything a removed stage holds to a file, then deletes it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgpack
from msgspec import Struct

from rsq_pipe.engine.changes.changeover import plan
from rsq_pipe.engine.changes.last_run import known, positions
from rsq_pipe.engine.changes.past import Holding, Past, look_back
from rsq_pipe.engine.codecs import Unfolding
from rsq_pipe.engine.hold import hold_field
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.presence import Presence
from rsq_pipe.engine.state_keys import state_keys
from rsq_pipe.errors import RsqPipeError, UnknownStageError
from rsq_pipe.model.counters import ALL_COUNTED
from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.dead_letter_json import described
from rsq_pipe.ops.dead_letters.payload import Payloads, as_json
from rsq_pipe.ops.remembered import Description, described_by
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.streams import moving
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.entry import RawEntry, range_reply
from rsq_pipe.suggestion import suggest

PAGE = 100
"""Entries read at once."""


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
    is_here = stage in [own.name for own in graph.stages]
    if is_here and not await _is_another(client, graph, stage):
        what = f"the file still has the stage {stage!r}; --discard is for a stage that it no longer has"
        raise UnknownStageError(what, stage=stage)
    await Presence(client, graph.pipeline).refuse_others()
    past = await look_back(client, graph.pipeline)
    _check_name(graph, past, stage)
    leaving = _Leaving(client, graph, stage, await asyncio.to_thread(_description, graph, past, stage))
    state = await state_keys(client, graph.pipeline, stage)
    if is_here:
        exported = await _export(leaving.remembered(state), file)
        await moving.empty(client, Keyspace(graph.pipeline).meta, stage, streams=[], keys=state, fields=[])
        held = past.holdings.get(stage, Holding())
        return Discarded(stage, Holding(keys=held.keys), exported, file)
    for name, stream in past.readings:
        if name == stage:
            leaving.ends[stream] = await leaving.newest(stream)
    exported = await _export(chained(leaving.lines(), leaving.remembered(state)), file)
    placed = positions(past.fields, stage)
    targets = ("source", *(field.split(":", 2)[2] for field in placed))
    leases = [f"{leaving.prefix}:lease:{target}{what}" for target in targets for what in ("", ":epoch")]
    again = f"{leaving.prefix}:again"
    counters = [f"{stage}:{what}" for what in ALL_COUNTED]
    await moving.empty(
        *(client, Keyspace(graph.pipeline).meta, stage),
        streams=[(stream, end) for stream, end in leaving.ends.items() if stream != again],
        keys=[
            again,
            *(f"{leaving.prefix}:{own}" for own in ("retry", "dlq", "drops", "unknown", "journal")),
            *state,
            *leases,
        ],
        fields=[*placed, f"replace:{stage}", f"group:{stage}:{again}", hold_field(stage), *counters],
    )
    # After deleting: if killed here it can be repeated, as the stored graph has the stage until the next run.
    meta = Keyspace(graph.pipeline).meta
    await client.channel.execute("HSET", meta, discarded_field(stage), 1, key=meta)
    return Discarded(stage, past.holdings.get(stage, Holding()), exported, file)


def discarded_field(stage: str) -> str:
    """Name the field that marks a stage as discarded: a restarted service repeats its command."""
    return f"discarded:{stage}"


async def _is_another(client: StreamClient, graph: Graph, stage: str) -> bool:
    """Return whether a stage of the file cannot use its stored state."""
    return stage in [change.stage for change in (await plan(client, graph)).stranded]


def _check_name(graph: Graph, past: Past, stage: str) -> None:
    """Refuse the name of a stage that no run had: the misspelt one would silently stay."""
    here = [own.name for own in graph.stages]
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
        ran = load(graph.path, root=graph.root, operate=True, connect=False, text=past.last.text)
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


class _Leaving:
    """Read everything that one stage holds."""

    def __init__(self, client: StreamClient, graph: Graph, stage: str, describe: Description | None) -> None:
        self._client = client
        self._stage = stage
        self._describe = describe
        self._payloads = Payloads(graph.serializer)
        self._singles = Unfolding(graph).singles
        self.prefix = f"{{{graph.pipeline}}}:{stage}"
        self.ends: dict[str, str] = {}
        """Stream -> the last id that goes; what is written to a stream from outside meanwhile is not read."""

    async def newest(self, stream: str) -> str:
        found = await self._client.channel.execute("XREVRANGE", stream, "+", "-", "COUNT", 1, key=stream)
        return found[0][0].decode() if found else "0-0"

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        """Describe each record: its location, its headers, and the record, or its bytes in base64."""
        for stream, end in self.ends.items():
            async for entry in self._pending(stream):
                for single in self._singles(entry):
                    yield self._line("pending", single)
            async for entry in self._undelivered(stream, end):
                for single in self._singles(entry):
                    yield self._line("waiting", single)
        async for entry in self._retries():
            yield self._line("retry", entry)
        dlq = f"{self.prefix}:dlq"
        async for entry in self._range(dlq, "-", "+"):
            yield {"where": "dead", **described(DeadLetter(self._stage, entry), self._payloads)}

    async def _pending(self, stream: str) -> AsyncIterator[RawEntry]:
        start = "-"
        groups = [info.name for info in await self._client.group_info(stream)]
        while self._stage in groups:
            page = await self._client.pending_range(stream, self._stage, start, count=PAGE)
            for message in page:
                async for entry in self._range(stream, message.id, message.id):
                    yield entry
            if len(page) < PAGE:
                return
            start = f"({page[-1].id}"

    async def _undelivered(self, stream: str, end: str) -> AsyncIterator[RawEntry]:
        for info in await self._client.group_info(stream):
            if info.name == self._stage:
                async for entry in self._range(stream, f"({info.last_delivered_id}", end):
                    yield entry

    async def _range(self, stream: str, start: str, end: str) -> AsyncIterator[RawEntry]:
        while True:
            reply = await self._client.channel.execute(
                "XRANGE", stream, start, end, "COUNT", PAGE, key=stream
            )
            entries = list(range_reply(stream, reply))
            for entry in entries:
                yield entry
            if len(reply) < PAGE:
                return
            start = f"({entries[-1].id}"

    async def _retries(self) -> AsyncIterator[RawEntry]:
        key, at = f"{self.prefix}:retry", 0
        while members := await self._client.channel.execute("ZRANGE", key, at, at + PAGE - 1, key=key):
            for member in members:
                _, *fields = msgpack.unpackb(member, raw=True)
                yield RawEntry(key, "", fields)
            at += PAGE

    async def remembered(self, keys: Sequence[str]) -> AsyncIterator[dict[str, Any]]:
        """Describe each key of its state, with the value, and its bytes in base64."""
        for key in keys:
            bucket, cursor = key.removeprefix(f"{self.prefix}:state:"), b""
            if bucket == key or await self._client.channel.execute("TYPE", key, key=key) != b"hash":
                continue
            while cursor != b"0":
                cursor, flat = await self._client.channel.execute(
                    "HSCAN", key, cursor or b"0", "COUNT", PAGE, key=key
                )
                for name, value in zip(flat[::2], flat[1::2], strict=True):
                    line = {"where": "state", "stage": self._stage, "part": bucket}
                    line["key"] = name.decode(errors="backslashreplace")
                    line["raw"] = base64.b64encode(value).decode()
                    yield line | self._shown(bucket, name, value)

    def _shown(self, bucket: str, name: bytes, value: bytes) -> dict[str, Any]:
        """Return the value of a key of the state as JSON, if it can be decoded."""
        if self._describe is None:
            return {}
        try:
            return as_json({"value": self._describe(bucket, name, value)}) or {}
        except Exception:  # noqa: BLE001  another release may have written it; its bytes are exported
            return {}

    def _line(self, where: str, entry: RawEntry) -> dict[str, Any]:
        headers: Mapping[str, str] = entry.headers
        found: dict[str, Any] = {"where": where, "stage": self._stage, "stream": entry.stream, "id": entry.id}
        found["headers"] = dict(headers)
        record = as_json(self._payloads.decode(entry.data))
        if record is None:
            return found | {"raw": base64.b64encode(entry.data).decode()}
        return found | {"payload": record}
