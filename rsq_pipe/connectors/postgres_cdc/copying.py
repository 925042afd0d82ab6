"""Copying: reads the rows that exist before the first change, so that the changes follow exactly."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.jsonl.json_object import UNREADABLE
from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres.names import listed
from rsq_pipe.connectors.postgres_cdc.mark import Copy, Mark, Part, lsn_text
from rsq_pipe.connectors.postgres_cdc.published import Table
from rsq_pipe.connectors.postgres_cdc.records import Records, When
from rsq_pipe.connectors.postgres_cdc.types import Types
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.connectors.wording import wording

_BEGIN = "begin isolation level repeatable read read only"

_SNAPSHOT = """
select pg_current_snapshot()::text, (case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
    else pg_current_wal_insert_lsn() end - '0/0'::pg_lsn)::bigint
"""

_FIRST_OPEN = "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint"

# Not the snapshot's own end: that comes after the last transaction that has ended, but before open ones.
_NEXT = """
select (case when pg_is_in_recovery() then pg_snapshot_xmax(pg_current_snapshot())
    else pg_current_xact_id() end)::text::bigint
"""

_LOOK = 0.2
_REPORT_EVERY = 5.0


class Copying:
    """
    Read the rows of tables, in the order of their keys.

    Everything is read in one snapshot, if possible. A process that is killed before the end leaves a part;
    the next one reads the rest in a snapshot of its own. The transactions that each part saw are stored, so
    that their changes, which the slot has as well, are not reported again.

    Args:
        connection: The server; open when `read` is called.
        tables: The tables of the publication, by number.
        prefix: The prefix of the names of a record's own fields.
    """

    def __init__(self, connection: Connection, tables: Mapping[int, Table], prefix: str) -> None:
        self._connection = connection
        self._tables = tables
        self._prefix = prefix

    def read(self, mark: Mark, size: int) -> Iterator[tuple[Chunk, Mark]]:
        """
        Yield the remaining rows, each chunk with the mark after it.

        Raises:
            RefusedError: A table has no key, or no longer exists.
        """
        assert mark.copy is not None
        self._check(mark.copy.tables)
        if not mark.parts:
            yield from self._settled(mark)
        self._connection.execute("set idle_in_transaction_session_timeout = '10min'")
        with self._connection.transaction(_BEGIN):
            snapshot, lsn = self._connection.execute(_SNAPSHOT)[0]
            while mark.copy is not None:
                copy, number = mark.copy, mark.copy.tables[0]
                part = Part(number, snapshot, lsn, after=copy.after)
                yield from self._table(mark, part, size)
                left = Copy(copy.tables[1:]) if copy.tables[1:] else None
                mark = msgspec.structs.replace(mark, copy=left, parts=_with(mark, part))
                yield Chunk([], [], mark.dump()), mark

    def _settled(self, mark: Mark) -> Iterator[tuple[Chunk, Mark]]:
        """
        Wait for the transactions that are open now.

        One may have written its commit to the log before the slot's first position, and not be visible to a
        snapshot yet (because it waits for a standby, for example): it would be in neither the rows nor the
        changes.
        """
        reported = time.monotonic()
        upto = self._connection.execute(_NEXT)[0][0]
        while True:
            if self._connection.execute(_FIRST_OPEN)[0][0] >= upto:
                return
            if time.monotonic() - reported > _REPORT_EVERY:
                reported = time.monotonic()
                structlog.get_logger("rsq_pipe").info(
                    "before reading rows, waiting for transactions that were open when the slot was created"
                )
            yield Chunk([], [], mark.dump()), mark  # the reader may have been stopped
            time.sleep(_LOOK)

    def _table(self, mark: Mark, part: Part, size: int) -> Iterator[tuple[Chunk, Mark]]:
        table = self._tables[part.table]
        # Where the slot begins, before all changes, not where the snapshot was made: a change that it did
        # not see may have been written to the log before that.
        when = When(lsn_text(mark.lsn), None)
        records: Records | None = None
        assert mark.copy is not None
        after = part.after
        while True:
            names, types, rows = self._connection.raw(rows_of(table, after, size), after or ())
            if records is None:
                converters = Types(self._connection).of(types)
                records = Records(table.title, names, converters, prefix=self._prefix)
            if not rows:
                return
            arrivals = [arrival_of(records, table, row, when) for row in rows]
            after = records.key(rows[-1], table.key)
            copy = Copy(mark.copy.tables, after)
            done = msgspec.structs.replace(part, upto=after)
            now = msgspec.structs.replace(mark, copy=copy, parts=_with(mark, done))
            yield Chunk.of(arrivals, now.dump()), now
            if len(rows) < size:
                return

    def _check(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            table = self._tables.get(number)
            if table is None:
                raise RefusedError(
                    f"table number {number} is not in the publication any more, and its rows are not read "
                    "yet; put it back, or start over with --fresh"
                )
            if not table.key:
                raise RefusedError(
                    f"table {table.title} has no primary key by which its rows could be read in order; give "
                    "it one, leave it out of `tables`, or set `snapshot: never`"
                )


def _with(mark: Mark, part: Part) -> list[Part]:
    """Add a part, replacing the same one if it was shorter."""
    return [one for one in mark.parts if (one.table, one.after) != (part.table, part.after)] + [part]


def rows_of(table: Table, after: Sequence[str] | None, size: int) -> str:
    """Build the query for the rows after a key, in the order of their keys if they have any."""
    conditions = [f"({table.condition})"] if table.condition else []
    key = listed(table.key)
    if after is not None:
        conditions.append(f"({key}) > (\0)")
    where = f" where {' and '.join(conditions)}" if conditions else ""
    sql = (
        f"select {listed(table.columns)} from {table.quoted}{where}"  # noqa: S608  quoted
        f"{f' order by {key}' if key else ''} limit {size}"
    )
    return sql.replace("%", "%%").replace("\0", ", ".join(["%s"] * len(table.key)))


def arrival_of(records: Records, table: Table, row: list[bytes | None], when: When) -> Arrival:
    """Turn a row into an arrival."""
    parts = records.key(row, table.key)
    if len(parts) > 1:
        parts = [part.replace("%", "%25").replace(":", "%3A") for part in parts]
    offset = f"{table.title}:{':'.join(parts)}@{when.lsn}"
    try:
        return Arrival(offset, records.row("snapshot", row, when, when.lsn))
    except UNREADABLE as exc:
        return Arrival(offset, None, broken(row), wording(exc))


def broken(values: Sequence[Any]) -> bytes:
    """Encode the values of a row that cannot be read."""
    return b"\t".join(value if isinstance(value, bytes) else b"\\N" for value in values)
