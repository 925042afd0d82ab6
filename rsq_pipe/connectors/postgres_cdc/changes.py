"""Changes: the messages of a slot made into records, chunk by chunk, with the mark behind each."""

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
from rsq_pipe.connectors.postgres_cdc.told import Told
from rsq_pipe.connectors.postgres_cdc.types import Types
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.connectors.wording import wording

_ENVELOPE = 25
_IDLE = 1.0
"""Seconds after which a mark is given without records: the server may forget what concerns other tables."""

_WAIT = 0.1


class Changes:
    """
    Read what a slot sends, from a mark on.

    Args:
        stream: The slot's, begun at the mark.
        types: How values are made.
        told: What the rows that were read have already.
        wanted: The names of the tables that are read; None for all.
        prefix: What the names of a record's own fields begin with.
    """

    def __init__(
        self, stream: Replication, types: Types, told: Told, wanted: Collection[str] | None, prefix: str
    ) -> None:
        self._stream = stream
        self._types = types
        self._told = told
        self._wanted = wanted
        self._prefix = prefix
        self._tables: dict[int, Records] = {}
        self._begin: Begin | None = None
        self._when = When("", None)
        self._at = 0
        self._skip = 0
        self._records: list[dict[str, Any]] = []
        self._offsets: list[str] = []
        self._broken: list[tuple[int, Arrival]] = []

    def read(self, mark: Mark, size: int, upto: int | None) -> Iterator[tuple[Chunk, Mark]]:
        """
        Yield chunks, each with the mark behind it; now and then one without records.

        Args:
            mark: Where the stream was begun.
            size: How many records a chunk has, at most; where TRUNCATE names several tables, some more.
            upto: Where to end, once all before it was read; None for never.
        """
        last, given = mark, time.monotonic()
        while True:
            messages = self._stream.read(size, _WAIT)
            for message in messages:
                mark = self._take(message, mark)
                if len(self) >= size:
                    last, given = mark, time.monotonic()
                    yield self._chunk(mark), mark
            is_over = upto is not None and mark.lsn >= upto and self._begin is None
            if len(self) and (is_over or len(messages) < size):
                last, given = mark, time.monotonic()
                yield self._chunk(mark), mark
            elif time.monotonic() - given >= _IDLE or (is_over and mark != last):
                last, given = mark, time.monotonic()
                yield Chunk([], [], mark.dump()), mark
            if is_over:
                return
            if upto is not None and not messages:
                self._stream.ask()

    def __len__(self) -> int:
        return len(self._records) + len(self._broken)

    def _take(self, message: bytes | Alive, mark: Mark) -> Mark:
        """Take a message in, and move the mark behind it."""
        if isinstance(message, Alive):
            if self._begin is None and not mark.transaction and message.end > mark.lsn:
                return msgspec.structs.replace(mark, lsn=message.end)
            return mark
        match read(message, _ENVELOPE):
            case Change() as change:
                return self._change(change, mark)
            case Begin() as begin:
                self._begin, self._at = begin, 0
                self._when = When(lsn_text(begin.lsn), begin.time)
                self._skip = mark.changes if begin.lsn == mark.transaction else 0
                self._told.begin(begin)
            case Commit() as commit:
                self._begin = None
                return Mark(mark.system, commit.end, parts=self._told.parts)
            case Relation() as relation:
                converters = self._types.of(relation.types)
                self._tables[relation.number] = Records.of(relation, converters, self._prefix)
            case Truncate() as truncate:
                for number in truncate.tables:
                    mark = self._emptied(number, mark)
        return mark

    def _change(self, change: Change, mark: Mark) -> Mark:
        at, self._at = self._at, self._at + 1
        if at < self._skip:
            return mark
        records = self._tables[change.table]
        if self._is_wanted(records):
            left = self._told.left(change, records)
            if left is not None:
                self._add(records, left, at)
        return self._behind(mark)

    def _emptied(self, number: int, mark: Mark) -> Mark:
        at, self._at = self._at, self._at + 1
        if at < self._skip:
            return mark
        records = self._tables[number]
        if self._is_wanted(records) and self._told.emptied(number, records.table):
            place = self._place(at)
            self._records.append(records.emptied(self._when, place))
            self._offsets.append(place)
        return self._behind(mark)

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
        """Name a change of the transaction; the names sort as the changes do."""
        return f"{self._when.lsn}.{at:08d}"

    def _behind(self, mark: Mark) -> Mark:
        """Move the mark behind the change that was just taken in."""
        assert self._begin is not None
        if mark.transaction == self._begin.lsn:
            return msgspec.structs.replace(mark, changes=self._at)
        return msgspec.structs.replace(mark, transaction=self._begin.lsn, changes=self._at)

    def _chunk(self, mark: Mark) -> Chunk:
        chunk = Chunk(self._records, self._offsets, mark.dump(), self._broken)
        self._records, self._offsets, self._broken = [], [], []
        return chunk
