"""Windows: the rows of a table by the transactions that wrote them; rows committed late are not lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres.names import listed
from rsq_pipe.connectors.postgres.selecting import key_given, keys_of, record, select
from rsq_pipe.connectors.postgres.source_options import Options

_AGE = "(((%(to)s::bigint - t.xmin::text::bigint + 2147483648) & 4294967295) - 2147483648)"
"""How many transactions before the window's end a row was written; rows store 32 bits of the number."""

_ANCIENT = -(2**30)
"""A row that seems to be written this long after the window's end was written long before it."""


class Place(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """
    Define where to continue: the stored position.

    Args:
        since: The first transaction of the window; none for the first window, which has everything before
            `to`.
        to: The first transaction after the window: all before it had ended when the window was begun.
        after: The key of the last row of the window that was read.
        cursor: The highest value of `cursor` that was read.
    """

    to: int
    since: int | None = None
    after: list[str] | None = None
    cursor: str | None = None
    done: bool = False


class Windows:
    """
    Read the rows that each window of transactions wrote.

    A row that is changed again before it was read leaves the window, and is in a later one. So each version
    of a row that still exists when it is read is read once, whenever its transaction began.

    Args:
        options: The source's settings.
        connection: The server; open when a method is called.
        columns: The columns that records get; none for all.
    """

    place = Place

    def __init__(self, options: Options, connection: Connection, columns: Sequence[str] | None) -> None:
        self._options = options
        self._connection = connection
        self._columns = columns

    def next(self, place: Place | None) -> Place:
        """Begin the window after another, up to the oldest transaction that has not ended."""
        found = self._connection.execute("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        to = int(found[0][0])
        if place is None:
            return Place(to)
        return Place(max(to, place.to), place.to, cursor=place.cursor)

    def rows(self, place: Place, size: int) -> tuple[list[tuple[str, str]], Place]:
        """Return the next rows of a window, each with its key and as JSON; and the place after them."""
        values: dict[str, Any] = {"to": place.to, "span": place.to - (place.since or 0), "size": size}
        values |= {"cursor": place.cursor, "late": f"{self._options.late} seconds"}
        values |= {f"k{at}": key for at, key in enumerate(place.after or ())}
        rows = self._connection.execute(self._sql(place), values)
        highest = max([row[3] for row in rows if row[3] is not None], default=None)
        cursor = place.cursor
        if highest is not None:
            newer = "select greatest(%s::timestamptz, %s::timestamptz)::text"
            cursor = self._connection.execute(newer, [highest, cursor])[0][0]
        new = Place(
            place.to,
            place.since,
            after=list(rows[-1][0]) if rows else place.after,
            cursor=cursor,
            done=len(rows) < size,
        )
        return [(f"{':'.join(key)}@{number}", text) for key, number, text, _ in rows], new

    def _sql(self, place: Place) -> str:
        options = self._options
        keys = keys_of(options)
        conditions = [
            f"({_AGE} > 0 or {_AGE} < {_ANCIENT})"
            if place.since is None
            else f"({_AGE} > 0 and {_AGE} <= %(span)s)"
        ]
        cursor = "null"
        if options.cursor:
            own = f"t.{listed([options.cursor])}"
            cursor = f"({own})::timestamptz::text"
            if place.since is not None and place.cursor is not None:
                conditions.append(f"({own} is null or {own} >= %(cursor)s::timestamptz - %(late)s::interval)")
        if place.after is not None:
            conditions.append(f"({', '.join(keys)}) > ({key_given(options)})")
        read = [f"%(to)s::bigint - {_AGE}", record(self._columns), cursor]
        return select(options, read, conditions, order=keys)
