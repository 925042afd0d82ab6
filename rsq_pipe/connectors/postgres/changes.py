"""Changes: the rows of a table by the transactions that wrote them; none that commits late is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import structlog

from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.ledger.database import RefusedError, RowsError
from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres.names import listed, quoted
from rsq_pipe.connectors.postgres.source_options import Options
from rsq_pipe.connectors.sink import TargetUnavailableError
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.connectors.wording import wording
from rsq_pipe.errors import SourceError

_AGE = "(((%(to)s::bigint - t.xmin::text::bigint + 2147483648) & 4294967295) - 2147483648)"
"""How many transactions before the window's end a row was written; a row knows 32 bits of its transaction."""

_ANCIENT = -(2**30)
"""A row that seems to be written that long after the window's end was written long before it."""

_LONGEST = 5.0


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    Say where to go on: the stored position.

    Args:
        since: The first transaction of the window; none for the first window, which has all before `to`.
        to: The first transaction behind the window: all before it had ended when the window was begun.
        after: The key of the last row that was read of the window.
        cursor: The highest value of `cursor` that was read.
    """

    to: int
    since: int | None = None
    after: list[str] | None = None
    cursor: str | None = None
    done: bool = False


class Changes:
    """
    Read the rows that each window of transactions wrote.

    A row that is changed again before it was read leaves the window, and is in a later one. So each version
    of a row that is still there when it is looked for is read once, whenever its transaction began.

    Args:
        options: The source's.
        stage: For messages.
    """

    def __init__(self, options: Options, stage: str) -> None:
        self._options = options
        self._stage = stage
        self._connection = Connection(options.dsn, options.timeout)

    def read(self, position: str, size: int) -> Iterator[Chunk]:
        """Yield the rows behind a position, in chunks; an empty one where a window holds no more."""
        place = msgspec.json.decode(position, type=Place) if position else None
        pause = 0.0
        try:
            while True:
                try:
                    self._connection.open()
                    if place is None or place.done:
                        place = self._next(place)
                    chunk, place = self._chunk(place, size)
                except TargetUnavailableError as exc:
                    if not pause:
                        self._log().warning("the server does not answer; trying again", error=str(exc))
                    pause = min(_LONGEST, pause * 2 or 0.1)
                    time.sleep(pause)
                    continue
                if pause:
                    pause = 0.0
                    self._log().warning("the server answers again")
                yield chunk  # also an empty one: whoever reads may have been told to end
                if place.done and self._options.every == "once":
                    return
                if place.done:
                    time.sleep(float(self._options.every))
        except (RefusedError, RowsError) as exc:
            table = self._options.table
            raise SourceError(
                f"stage {self._stage!r}: postgres table {table}: {exc}", stage=self._stage
            ) from exc
        finally:
            self._connection.close()

    def _next(self, place: Place | None) -> Place:
        """Begin the window behind another, up to the oldest transaction that has not ended."""
        with self._connection.faults():
            found = self._connection.execute("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        to = int(found[0][0])
        if place is None:
            return Place(to)
        return Place(max(to, place.to), place.to, cursor=place.cursor)

    def _chunk(self, place: Place, size: int) -> tuple[Chunk, Place]:
        values = {"to": place.to, "span": place.to - (place.since or 0), "cursor": place.cursor}
        values |= {"late": f"{self._options.late} seconds", "size": size}
        values |= {f"k{at}": key for at, key in enumerate(place.after or ())}
        with self._connection.faults():
            rows = self._connection.execute(self._sql(place), values)
        highest = max([row[3] for row in rows if row[3] is not None], default=None)
        cursor = place.cursor
        if highest is not None:
            with self._connection.faults():
                newer = "select greatest(%s::timestamptz, %s::timestamptz)::text"
                cursor = self._connection.execute(newer, [highest, cursor])[0][0]
        new = Place(
            place.to,
            place.since,
            after=list(rows[-1][0]) if rows else place.after,
            cursor=cursor,
            done=len(rows) < size,
        )
        arrivals = [_arrival(":".join(key), number, text) for key, number, text, _ in rows]
        return Chunk.of(arrivals, msgspec.json.encode(new).decode()), new

    def _sql(self, place: Place) -> str:
        options = self._options
        keys = [f"t.{listed([name])}" for name in options.key]
        record = "row_to_json(t)::text"
        if options.columns:
            chosen = ", ".join(f"t.{listed([name])}" for name in options.columns)
            record = f"(select row_to_json(r)::text from (select {chosen}) r)"  # noqa: S608  quoted
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
            given = ", ".join(f"%(k{at})s" for at in range(len(keys)))
            conditions.append(f"({', '.join(keys)}) > ({given})")
        if options.where:
            conditions.append(f"({options.where.replace('%', '%%')})")
        key = ", ".join(f"{key}::text" for key in keys)
        return (
            f"select array[{key}], %(to)s::bigint - {_AGE}, {record}, {cursor}"  # noqa: S608  quoted
            f" from {quoted(options.table)} t where {' and '.join(conditions)}"
            f" order by {', '.join(keys)} limit %(size)s"
        )

    def _log(self) -> structlog.stdlib.BoundLogger:
        log: structlog.stdlib.BoundLogger = structlog.get_logger("rsq_pipe")
        return log.bind(stage=self._stage)


def _arrival(key: str, transaction: int, text: str) -> Arrival:
    raw = text.encode()
    offset = f"{key}@{transaction}"
    try:
        return Arrival(offset, parse(raw), raw)
    except UNREADABLE as exc:
        return Arrival(offset, None, raw, wording(exc))
