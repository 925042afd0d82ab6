"""Changes: turns the messages of a slot into records, chunk by chunk, with the mark after each."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from rsq_pipe.connectors.jsonl.json_object import UNREADABLE
from rsq_pipe.connectors.postgres_cdc.copying import broken
from rsq_pipe.connectors.postgres_cdc.mark import Mark, lsn_text
from rsq_pipe.connectors.postgres_cdc.messages import Begin, Change, Commit, Relation, Truncate, read
from rsq_pipe.connectors.postgres_cdc.records import Records, When
from rsq_pipe.connectors.postgres_cdc.replication import Alive, Replication
from rsq_pipe.connectors.postgres_cdc.snapshot_filter import SnapshotFilter
from rsq_pipe.connectors.postgres_cdc.types import Types
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.connectors.wording import wording

_ENVELOPE = 25
_IDLE = 1.0
"""Seconds after which a mark is yielded without records: the server may discard changes of other tables."""

_WAIT = 0.1


class Changes:
    """
    Read a slot's messages, from a mark on.

    Args:
        stream: The slot's stream, begun at the mark.
        types: How values are converted.
        snapshots: The filter that determines which changes the copied rows already contain.
        wanted: The names of the tables that are read; None for all.
        prefix: The prefix of the names of a record's own fields.
    """

    def __init__(
        self,
        stream: Replication,
        types: Types,
        snapshots: SnapshotFilter,
        wanted: Collection[str] | None,
        prefix: str,
    ) -> None:
        self._stream = stream
        self._types = types
        self._snapshots = snapshots
        self._wanted = wanted
        self._prefix = prefix
        self._tables: dict[int, Records] = {}
        self._begin: Begin | None = None
        self._mark = Mark("", 0)
        self._when = When("", None)
        self._at = 0
        self._skip = 0
        self._records: list[dict[str, Any]] = []
        self._offsets: list[str] = []
        self._broken: list[tuple[int, Arrival]] = []

    def read(self, mark: Mark, size: int, upto: int | None) -> Iterator[tuple[Chunk, Mark]]:
        """
        Yield chunks, each with the mark after it; now and then one without records.

        Args:
            mark: Where the stream was begun.
            size: Maximum number of records in a chunk; if TRUNCATE names several tables, some more.
            upto: Where to end, once everything before it was read; None for no end.
        """
        self._mark = last = mark
        given = time.monotonic()
        while True:
            messages = self._stream.read(size, _WAIT)
            for message in messages:
                self._take(message)
                if len(self) >= size:
                    yield self._chunk(last := self._behind())
                    given = time.monotonic()
            is_over = upto is not None and self._mark.lsn >= upto and self._begin is None
            if (
                (len(self) and (is_over or len(messages) < size))
                or time.monotonic() - given >= _IDLE
                or (is_over and self._mark != last)
            ):
                yield self._chunk(last := self._behind())
                given = time.monotonic()
            if is_over:
                return
            if upto is not None and not messages:
                self._stream.ask()

    def __len__(self) -> int:
        return len(self._records) + len(self._broken)

    def _take(self, message: bytes | Alive) -> None:
        """Process a message."""
        if isinstance(message, Alive):
            mark = self._mark
            if self._begin is None and not mark.transaction and message.end > mark.lsn:
                self._mark = msgspec.structs.replace(mark, lsn=message.end)
            return
        match read(message, _ENVELOPE):
            case Change() as change:
                self._change(change)
            case Begin() as begin:
                self._begin, self._at = begin, 0
                self._when = When(lsn_text(begin.lsn), begin.time)
                self._skip = self._mark.changes if begin.lsn == self._mark.transaction else 0
                self._snapshots.begin(begin)
            case Commit() as commit:
                self._begin = None
                self._mark = Mark(self._mark.system, commit.end, parts=self._snapshots.parts)
            case Relation() as relation:
                converters = self._types.of(relation.types)
                self._tables[relation.number] = Records.of(relation, converters, self._prefix)
            case Truncate() as truncate:
                for number in truncate.tables:
                    self._emptied(number)

    def _change(self, change: Change) -> None:
        at, self._at = self._at, self._at + 1
        records = self._tables[change.table]
        if at >= self._skip and self._is_wanted(records):
            left = self._snapshots.left(change, records)
            if left is not None:
                self._add(records, left, at)

    def _emptied(self, number: int) -> None:
        at, self._at = self._at, self._at + 1
        records = self._tables[number]
        if at >= self._skip and self._is_wanted(records) and self._snapshots.emptied(number, records.table):
            place = self._place(at)
            self._records.append(records.emptied(self._when, place))
            self._offsets.append(place)

    def _is_wanted(self, records: Records) -> bool:
        return self._wanted is None or records.table in self._wanted

    def _add(self, records: Records, change: Change, at: int) -> None:
        offset = self._place(at)
        try:
            self._records.append(records.change(change, self._when, offset))
        except UNREADABLE as exc:
            arrival = Arrival(offset, None, broken(change.new or change.old or ()), wording(exc))
            self._broken.append((len(self._records), arrival))
        else:
            self._offsets.append(offset)

    def _place(self, at: int) -> str:
        """Build the name of a change of the transaction; the names sort like the changes."""
        return f"{self._when.lsn}.{at:08d}"

    def _behind(self) -> Mark:
        """Return the mark after the processed messages."""
        at = max(self._at, self._skip)
        if self._begin is None or not at:
            return self._mark
        return msgspec.structs.replace(self._mark, transaction=self._begin.lsn, changes=at)

    def _chunk(self, mark: Mark) -> tuple[Chunk, Mark]:
        chunk = Chunk(self._records, self._offsets, mark.dump(), self._broken)
        self._records, self._offsets, self._broken = [], [], []
        return chunk, mark
