"""Peek: the records that wait for a stage, split from their packs; reading changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgpack
from msgspec import Struct

from rsq_pipe.engine.encoding.codecs import Unfolding
from rsq_pipe.engine.encoding.external_entries import ExternalEntries
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import DecodeError
from rsq_pipe.ids import record_id
from rsq_pipe.ops.dead_letters.payload import Payloads
from rsq_pipe.ops.dead_letters.selection import holds
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.clock import server_time
from rsq_pipe.streams.entry import RawEntry, id_number
from rsq_pipe.streams.entry_pages import entry_pages
from rsq_pipe.streams.headers import RID, current
from rsq_pipe.streams.stats import PendingEntry

PAGE = 20
"""Entries read at once: each may be a pack."""

State = Literal["pending", "waiting", "due", "retry"]


class Peeked(Struct, frozen=True):
    """
    Describe one record that a stage has not settled.

    Args:
        state: `pending`: delivered; `waiting`: not delivered; `due`: not delivered, for another attempt or
            replayed; `retry`: its next attempt is not due.
        stream: The key of the stream, or of the retry set, it is in.
        id: The id of its entry, possibly shared with other records; empty in the retry set.
        rid: Its record id.
        headers: Its other headers.
        raw: Its bytes.
        consumer, deliveries, idle_ms: For a pending one: its consumer, delivery count, and idle time.
        due_in: For one in the retry set: seconds until its next attempt.
    """

    state: State
    stream: str
    id: str
    rid: str
    headers: Mapping[str, str]
    raw: bytes
    consumer: str = ""
    deliveries: int = 0
    idle_ms: int = 0
    due_in: float | None = None


@dataclass(slots=True)
class Filter:
    """
    Filter records by an expression, and count those for which it has no value.

    Args:
        where: It sees the payload's fields by name, and `entry`, `headers`, `payload`; None lets all pass.
        payloads: Decodes payloads.
        passed_over: Records for which it has no value.
        why: The error of the first of these.
    """

    where: Expression | None
    payloads: Payloads
    passed_over: int = field(default=0, init=False)
    why: str = field(default="", init=False)

    def passes(self, found: Peeked) -> bool:
        """Return whether a record passes."""
        held, why = holds(self.where, lambda: _view(found, self.payloads.decode(found.raw)))
        if why:
            self.passed_over += 1
            self.why = self.why or f"{found.rid}: {why}"
        return held


def _view(found: Peeked, payload: Mapping[str, Any] | None) -> dict[str, Any]:
    names = ("state", "stream", "id", "rid", "consumer", "deliveries", "due_in")
    own: dict[str, Any] = {"entry": {name: getattr(found, name) for name in names}, "headers": found.headers}
    return {**payload, **own, "payload": payload} if payload is not None else own


async def peek(client: StreamClient, graph: Graph, stage: Stage) -> AsyncIterator[Peeked]:
    """
    Yield the records that wait for a stage: those in its streams, oldest entry first, then its retry set.

    A stage without a group on a stream yet will read it from the beginning.

    Raises:
        ServerUnavailableError: The server cannot be reached.

    Redis: XINFO GROUPS, XPENDING, XRANGE and ZRANGE, page by page; nothing is written.
    """
    before = _Before(client, graph, stage)
    inputs = [before.entries(key) for key in Keyspace(graph.pipeline).inputs(stage)]
    heads = [(entries, head) for entries in inputs if (head := await anext(entries, None)) is not None]
    while heads:
        oldest = min(heads, key=lambda pair: id_number(pair[1][1].id))
        entries, (state, entry, pending) = oldest
        for found in before.records(state, entry, pending):
            yield found
        heads.remove(oldest)
        if (head := await anext(entries, None)) is not None:
            heads.append((entries, head))
    async for found in before.retries():
        yield found


class _Before:
    """Read the records that wait for one stage."""

    def __init__(self, client: StreamClient, graph: Graph, stage: Stage) -> None:
        self._client = client
        self._stage = stage
        self._keys = Keyspace(graph.pipeline)
        self._own = self._keys.pattern.removesuffix("*")
        self._external = ExternalEntries(graph, stage)
        self._singles = Unfolding(graph).singles

    async def entries(self, stream: str) -> AsyncIterator[tuple[State, RawEntry, PendingEntry | None]]:
        """Yield the entries of a stream that the stage has not settled, the oldest first."""
        last = "0-0"
        for info in await self._client.group_info(stream):
            if info.name == self._stage.name:
                last = info.last_delivered_id
                async for pending in self._pending(stream):
                    async for entry in self._range(stream, pending.id, pending.id):
                        yield "pending", entry, pending
        state: State = "due" if stream == self._keys.again_stream(self._stage) else "waiting"
        async for entry in self._range(stream, f"({last}", "+"):
            yield state, entry, None

    def records(self, state: State, entry: RawEntry, pending: PendingEntry | None) -> list[Peeked]:
        """Describe the records of an entry."""
        with contextlib.suppress(DecodeError):  # if so it is shown as it is
            entry = self._external.plain(entry)
        return [self._record(state, single, pending) for single in self._singles(entry)]

    async def retries(self) -> AsyncIterator[Peeked]:
        """Yield the records that wait for their next attempt, in the order in which they are due."""
        key, at = self._keys.retry(self._stage), 0
        now = await server_time(self._client, self._keys.meta)
        words = ("ZRANGE", key)
        while flat := await self._client.channel.execute(*words, at, at + PAGE - 1, "WITHSCORES", key=key):
            for member, score in zip(flat[::2], flat[1::2], strict=True):
                _, *fields = msgpack.unpackb(member, raw=True)
                yield self._record("retry", RawEntry(key, "", fields), None, float(score) / 1000 - now)
            at += PAGE

    def _record(
        self, state: State, entry: RawEntry, pending: PendingEntry | None, due_in: float | None = None
    ) -> Peeked:
        headers = dict(entry.headers)
        if entry.stream.startswith(self._own):
            headers = dict(current(headers))
        rid = headers.pop(RID, "") or record_id(entry.stream, entry.id)
        found = Peeked(state, entry.stream, entry.id, rid, headers, entry.data, due_in=due_in)
        if pending is None:
            return found
        return Peeked(
            *(state, entry.stream, entry.id, rid, headers, entry.data),
            *(pending.consumer, pending.delivery_count, pending.idle_ms),
        )

    async def _pending(self, stream: str) -> AsyncIterator[PendingEntry]:
        start = "-"
        while page := await self._client.pending_range(stream, self._stage.name, start, count=PAGE):
            for pending in page:
                yield pending
            start = f"({page[-1].id}"

    async def _range(self, stream: str, start: str, end: str) -> AsyncIterator[RawEntry]:
        async for page in entry_pages(self._client.channel, stream, start, end, size=PAGE):
            for entry in page:
                yield entry


def document(found: Peeked, payloads: Payloads) -> dict[str, Any]:
    """Return the keys of `peek --json`, which stay the same from one release to the next."""
    return {
        "state": found.state,
        "stream": found.stream,
        "id": found.id,
        "rid": found.rid,
        "headers": dict(found.headers),
        "consumer": found.consumer,
        "deliveries": found.deliveries,
        "idle_ms": found.idle_ms,
        "due_in": None if found.due_in is None else round(found.due_in, 3),
        **payloads.document(found.raw),
    }
