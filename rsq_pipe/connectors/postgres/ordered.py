"""Ordered: the rows of a query without transaction ids, by a time column, once no older ones can come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres.names import listed
from rsq_pipe.connectors.postgres.selecting import key_given, keys_of, record, select
from rsq_pipe.connectors.postgres.source_options import Options

_TEXT = """to_char(({})::timestamptz at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


class Place(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """
    Define where to continue: the stored position.

    Args:
        before: Rows from this time on are left for the next look.
        cursor: The time of the last row that was read.
        after: Its key.
    """

    before: str
    cursor: str | None = None
    after: list[str] | None = None
    done: bool = False


class Ordered:
    """
    Read rows in the order of their times.

    A slow transaction commits rows whose times are earlier than those of rows committed in the meantime. So
    rows are read once they are older than `late`: transactions that take no longer are not missed.

    Args:
        options: The source's settings.
        connection: The server; open when a method is called.
    """

    place = Place

    def __init__(self, options: Options, connection: Connection) -> None:
        self._options = options
        self._connection = connection

    def next(self, place: Place | None) -> Place:
        """Begin the look after another."""
        now = f"select {_TEXT.format('now() - %s::interval')}"
        before = self._connection.execute(now, [f"{self._options.late} seconds"])[0][0]
        return Place(before) if place is None else Place(max(before, place.before), place.cursor, place.after)

    def rows(self, place: Place, size: int) -> tuple[list[tuple[str, str]], Place]:
        """Return the next rows of a look, each with its key and as JSON; and the place after them."""
        values: dict[str, Any] = {"before": place.before, "cursor": place.cursor, "size": size}
        values |= {f"k{at}": key for at, key in enumerate(place.after or ())}
        rows = self._connection.execute(self._sql(place), values)
        last: Sequence[Any] = rows[-1] if rows else (place.after, None, place.cursor)
        new = Place(place.before, last[2], last[0], done=len(rows) < size)
        return [(f"{':'.join(key)}@{time}", text) for key, text, time in rows], new

    def _sql(self, place: Place) -> str:
        options = self._options
        keys = keys_of(options)
        own = f"(t.{listed([options.cursor or ''])})::timestamptz"
        conditions = [f"{own} < %(before)s::timestamptz"]
        if place.after is not None:
            conditions.append(f"({own}, {', '.join(keys)}) > (%(cursor)s::timestamptz, {key_given(options)})")
        read = [record(options.columns), _TEXT.format(own)]
        return select(options, read, conditions, order=[own, *keys])
