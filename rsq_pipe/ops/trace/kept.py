"""Kept traces: a record's path according to Redis alone, from what the server still holds."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping

import msgpack

from rsq_pipe.engine.encoding.codecs import Unfolding
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.ids import is_family, record_id
from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.trace.step import DEAD, RecordTrace, Step
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.entry import RawEntry, id_number, range_reply
from rsq_pipe.streams.entry_pages import entry_pages
from rsq_pipe.streams.headers import RID, WHY, current
from rsq_pipe.streams.message import attempts_in
from rsq_pipe.streams.stats import GroupInfo
from rsq_pipe.telemetry.observer import headers_of
from rsq_pipe.telemetry.trace_context import read

PAGE = 100
"""Entries read at once: each may be a pack."""

_NUMBER = re.compile(r"\d+-\d+|[0-9a-f]{32}")  # an entry id or a trace id
_LETTER = re.compile(r"([a-z][a-z0-9_-]*)/(\d+-\d+)")  # a dead letter, as `dlq list` names it


class Kept:
    """
    Find one record in everything a pipeline has on its server.

    An entry is removed from a stream as soon as all its readers have finished it, unless the pipeline sets
    `keep:`. So this shows where a record is, and how it got there only while entries are kept.

    Args:
        client: The server.
        graph: The pipeline.
    """

    def __init__(self, client: StreamClient, graph: Graph) -> None:
        self._client = client
        self._graph = graph
        self._keys = Keyspace(graph.pipeline)
        self._singles = Unfolding(graph).singles

    async def trace(self, name: str) -> RecordTrace:
        """
        Find a record's path.

        Args:
            name: A record id, an entry id, a trace id, or a dead letter's name, `stage/entry id`.

        Raises:
            ServerUnavailableError: The server cannot be reached.

        Redis: XRANGE and ZSCAN, page by page; nothing is written.
        """
        wanted = await self._rids(name)
        steps = await self._standing(wanted)
        # If a stream or a dead letter shows the same step, it has more details.
        known = {(step.stage, step.rid, step.outcome) for step in steps}
        async for step in self._journals(wanted):
            if (step.stage, step.rid, step.outcome) not in known:
                steps.append(step)
        return RecordTrace.of(name, dict.fromkeys(steps), [stage.name for stage in self._graph.stages])

    async def _standing(self, wanted: set[str]) -> list[Step]:
        """Find a record's steps in streams, retry sets and dead letters."""
        steps: list[Step] = []
        for stage in self._graph.stages:
            for key in self._outputs(stage):
                steps += [step async for step in self._written(stage, key, wanted)]
            again_stream = self._keys.again_stream(stage)
            if stage.verb != "source":
                async for entry in self._found(again_stream, wanted):
                    steps += await self._reading(stage, entry)
            steps += [step async for step in self._waiting(stage, wanted)]
            async for entry in self._found(self._keys.dlq(stage), wanted):
                steps.append(_dead(DeadLetter(stage.name, entry), self._graph))
        for stage in self._graph.stages:
            for ref in stage.inputs:
                if ref.external:
                    async for entry in self._found(ref.key(self._graph.pipeline), wanted):
                        steps += await self._reading(stage, entry)
        return steps

    async def _journals(self, wanted: set[str]) -> AsyncIterator[Step]:
        """Find a record's steps in the stages' journals, if the pipeline keeps these."""
        for stage in self._graph.stages:
            async for entry in self._found(self._keys.journal(stage), wanted):
                yield _noted(stage, entry)

    async def _rids(self, name: str) -> set[str]:
        """Find the records that a dead letter, an entry id or a trace id names; any other is a record id."""
        if letter := _LETTER.fullmatch(name):
            return await self._dead(*letter.groups())
        found = {name}
        if not _NUMBER.fullmatch(name):
            return found
        for key in self._streams():
            async for entry in self._entries(key):
                headers = self._headers(entry)
                context = read(headers)
                trace = f"{context.trace_id:032x}" if context else ""
                if name in (entry.id, trace) or headers.get(f"{WHY}entry", "").endswith(f"/{name}"):
                    found.add(self._rid(entry))
        return found

    async def _dead(self, stage: str, entry_id: str) -> set[str]:
        """Find the record that a dead letter holds; none if it is not there (any more)."""
        found: set[str] = set()
        for key in (self._keys.dlq(one) for one in self._graph.stages if one.name == stage):
            reply = await self._client.channel.execute("XRANGE", key, entry_id, entry_id, key=key)
            found |= {self._rid(entry) for entry in range_reply(key, reply)}
        return found

    def _streams(self) -> list[str]:
        found: dict[str, None] = {}
        for stage in self._graph.stages:
            found |= dict.fromkeys(self._keys.inputs(stage))
            found |= dict.fromkeys([*self._outputs(stage), self._keys.dlq(stage)])
        return list(found)

    def _outputs(self, stage: Stage) -> list[str]:
        return [self._keys.stream(ref) for ref in stage.outputs.values()]

    async def _written(self, stage: Stage, key: str, wanted: set[str]) -> AsyncIterator[Step]:
        """Find the steps of a stage by the entries it wrote, and of its readers by their results."""
        readers = [other for other in self._graph.stages if key in self._keys.inputs(other)]
        async for entry in self._found(key, wanted):
            at, trace_id = _written_at(entry.id), _trace(entry.headers)
            yield Step(stage.name, self._rid(entry), "emitted", ended=at, trace_id=trace_id)
            for reader in readers:
                for step in await self._reading(reader, entry):
                    yield step

    async def _reading(self, stage: Stage, entry: RawEntry) -> list[Step]:
        """Find the records that a stage has not finished."""
        groups = {info.name: info for info in await self._client.group_info(entry.stream)}
        group = groups.get(stage.name)
        if group is None:
            return []
        step = Step(
            stage.name,
            self._rid(entry),
            "waiting",
            waited=max(0.0, time.time() - _written_at(entry.id)),
            attempt=attempts_in(self._headers(entry)) + 1,
            trace_id=_trace(entry.headers),
        )
        if _is_before(group, entry.id):
            return [_later(step, note="not yet delivered", at=_written_at(entry.id))]
        pending = await self._client.pending_range(entry.stream, stage.name, entry.id, entry.id, 1)
        if not pending:
            return []
        note = f"{pending[0].consumer}, delivery {pending[0].delivery_count}, idle {pending[0].idle_ms:,} ms"
        return [_later(step, note=note, at=_written_at(entry.id), outcome="in flight")]

    async def _waiting(self, stage: Stage, wanted: set[str]) -> AsyncIterator[Step]:
        """Find the records that wait for their next attempt."""
        key, cursor = self._keys.retry(stage), b"0"
        while True:
            cursor, flat = await self._client.channel.execute("ZSCAN", key, cursor, "COUNT", PAGE, key=key)
            for member, score in zip(flat[::2], flat[1::2], strict=True):
                _, *fields = msgpack.unpackb(member, raw=True)
                headers = current(headers_of(fields))
                if any(is_family(headers.get(RID, ""), rid) for rid in wanted):
                    failed = attempts_in(headers)
                    yield Step(
                        stage.name,
                        headers[RID],
                        "to be retried",
                        ended=time.time(),
                        attempt=failed + 1,
                        trace_id=_trace(headers),
                        note=f"due in {float(score) / 1000 - time.time():,.1f}s; {failed} attempts failed",
                    )
            if cursor == b"0":
                return

    def _headers(self, entry: RawEntry) -> Mapping[str, str]:
        is_own = entry.stream.startswith(self._keys.pattern.removesuffix("*"))
        return current(entry.headers) if is_own else entry.headers

    def _rid(self, entry: RawEntry) -> str:
        headers = self._headers(entry)
        if f"{WHY}entry" in headers:
            return DeadLetter("", entry).rid
        return headers.get(RID) or record_id(entry.stream, entry.id)

    async def _found(self, key: str, wanted: set[str]) -> AsyncIterator[RawEntry]:
        async for entry in self._entries(key):
            rid = self._rid(entry)
            if any(is_family(rid, one) for one in wanted):
                yield entry

    async def _entries(self, key: str) -> AsyncIterator[RawEntry]:
        """Yield the entries of a stream, with the records of packs one by one."""
        async for page in entry_pages(self._client.channel, key, size=PAGE):
            for entry in page:
                for single in self._singles(entry):
                    yield single


def _dead(letter: DeadLetter, graph: Graph) -> Step:
    return Step(
        letter.stage,
        letter.rid,
        DEAD,
        # When it was written, as for all other steps: the failure is older than its settlement.
        ended=_written_at(letter.id),
        attempt=letter.attempts,
        error=letter.error,
        trace_id=letter.trace_id,
        note=f"rsq-pipe dlq show {graph.spec} {letter.name}",
    )


def _noted(stage: Stage, entry: RawEntry) -> Step:
    note = entry.headers
    return Step(
        stage.name,
        note.get(RID, ""),
        note.get("outcome", ""),
        ended=_written_at(entry.id),
        attempt=int(attempt) if (attempt := note.get("attempt", "")).isdecimal() else 0,
        note=note.get("reason", ""),
    )


def _later(step: Step, *, note: str, at: float, outcome: str = "waiting") -> Step:
    return Step(
        step.stage,
        step.rid,
        outcome,
        ended=at,
        waited=step.waited,
        attempt=step.attempt,
        trace_id=step.trace_id,
        note=note,
    )


def _trace(headers: Mapping[str, str]) -> str:
    context = read(headers)
    return f"{context.trace_id:032x}" if context else ""


def _written_at(entry_id: str) -> float:
    return int(entry_id.partition("-")[0]) / 1000


def _is_before(group: GroupInfo, entry_id: str) -> bool:
    return id_number(group.last_delivered_id) < id_number(entry_id)
