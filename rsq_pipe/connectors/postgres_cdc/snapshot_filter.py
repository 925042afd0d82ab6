"""SnapshotFilter: which changes the copied rows already contain, and which are still to be reported."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres.names import listed
from rsq_pipe.connectors.postgres_cdc.mark import Part
from rsq_pipe.connectors.postgres_cdc.messages import Begin, Change
from rsq_pipe.connectors.postgres_cdc.published import Table
from rsq_pipe.connectors.postgres_cdc.records import Records


class SnapshotFilter:
    """
    Compare the changes of transactions with the snapshots in which the rows were read.

    If the rows of a table were read in several snapshots, one after another, a change belongs to the part
    that has its key; the server determines which, since it defines the order of keys.

    Args:
        connection: Used for that; open when `left` is called.
        tables: The tables of the publication, by number.
        parts: The parts that were read.
    """

    def __init__(self, connection: Connection, tables: Mapping[int, Table], parts: Sequence[Part]) -> None:
        self._connection = connection
        self._tables = tables
        self.parts = list(parts)
        self._seen = {part.snapshot: Seen.read(part.snapshot) for part in parts}
        self._flags: dict[int, list[bool]] = {}

    def begin(self, begin: Begin) -> None:
        """Begin a transaction; tables whose parts are all older than the next changes are finished."""
        needed = {part.table for part in self.parts if begin.lsn < part.lsn}
        self.parts = [part for part in self.parts if part.table in needed]
        self._flags = {}
        for part in self.parts:
            self._flags.setdefault(part.table, []).append(begin.xid in self._seen[part.snapshot])

    def left(self, change: Change, records: Records) -> Change | None:
        """
        Return the part of a change that is still to be reported; None for nothing.

        For an update that gave a row another key, that may be one half: as a delete, or as an insert.
        """
        flags = self._flags.get(change.table)
        if flags is None or not any(flags):
            return change
        if all(flags):
            return None
        table = self._tables.get(change.table)
        if table is None:
            raise RefusedError(f"table {records.table} is not in the publication any more; put it back")
        old = None if change.old is None else records.key(change.old, table.key)
        new = None if change.new is None else records.key(change.new, table.key)
        copied_old = flags[self._part(table, old)] if old is not None and old != new else None
        copied_new = flags[self._part(table, new)] if new is not None else None
        if copied_new is None or copied_old is None or copied_new == copied_old:
            return None if (copied_old if copied_new is None else copied_new) else change
        if copied_new:
            return replace(change, op="delete", new=None)
        return replace(change, op="insert", old=None)

    def emptied(self, number: int, name: str) -> bool:
        """Return whether a TRUNCATE is still to be reported."""
        flags = self._flags.get(number, [])
        if any(flags) and not all(flags):
            raise RefusedError(
                f"table {name} was truncated while its rows were read in several parts, since the run was "
                "cut off in between; start over with --fresh"
            )
        return not flags or not flags[0]

    def _part(self, table: Table, key: Sequence[str]) -> int:
        """Find the part that has a key."""
        parts = [part for part in self.parts if part.table == table.number]
        upto = [part.upto for part in parts if part.upto is not None]
        names = listed(table.key)
        given = ", ".join(["%s"] * len(key))
        # This gives the values the types of the columns, and so their order.
        sql = f"with given as (select \0 from \1 where false union all select {given}) select "  # noqa: S608
        sql += ", ".join(f"(\0) <= ({given})" for _ in upto) + " from given"
        sql = sql.replace("\0", names.replace("%", "%%")).replace("\1", table.quoted.replace("%", "%%"))
        found = self._connection.execute(sql, list(itertools.chain(key, *upto)))[0]
        return next((at for at, is_in in enumerate(found) if is_in), len(parts) - 1)


class Seen(Struct, frozen=True):
    """
    Hold which transactions a snapshot saw: all before `first` had ended, those from `end` on had not begun.

    Args:
        first, end: As above.
        under_way: The transactions between those that had not ended.
    """

    first: int
    end: int
    under_way: frozenset[int]

    @classmethod
    def read(cls, text: str) -> Seen:
        """Parse the format of `pg_current_snapshot()`: `10:20:10,14,15`."""
        first, end, under_way = text.split(":")
        return cls(int(first), int(end), frozenset(map(int, filter(None, under_way.split(",")))))

    def __contains__(self, xid: int) -> bool:
        """Look up a committed transaction, by the 32 bits of its number that the log has."""
        near = self.first
        whole = near + ((xid - near + 2**31) % 2**32 - 2**31)
        return whole < self.first or (whole < self.end and whole not in self.under_way)
