"""Changes: the rows of a table or query, one look after another, through outages of the server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import structlog

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.ledger.database import RowsError
from rsq_pipe.connectors.outage import SourceBackoff, report_if_silent
from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres.names import listed
from rsq_pipe.connectors.postgres.ordered import Ordered
from rsq_pipe.connectors.postgres.source_options import Options
from rsq_pipe.connectors.postgres.windows import Windows
from rsq_pipe.connectors.sink import TargetUnavailableError
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.connectors.wording import wording
from rsq_pipe.errors import SourceError

_FIRST, _LONGEST = 0.1, 5.0
_XID = 28
"""The number of the type of `xmin`."""


class Changes:
    """
    Read what was added or changed, once every `every`.

    Args:
        options: The source's settings.
        stage: For messages.
    """

    def __init__(self, options: Options, stage: str) -> None:
        self._options = options
        self._stage = stage
        self._connection = Connection(options.dsn, options.timeout)
        self._queries: Any = None
        self._place: Any = None

    def read(self, position: str, size: int) -> Iterator[Chunk]:
        """Yield the rows after a position, in chunks; an empty chunk if a look finds no more."""
        backoff = SourceBackoff(
            _FIRST,
            _LONGEST,
            where=self._options.target,
            log=structlog.get_logger("rsq_pipe").bind(stage=self._stage),
            away="PostgreSQL does not answer; trying again",
            back="PostgreSQL answers again",
        )
        limit = f"no answer yet; a statement may take `timeout`, {self._options.timeout:g} s"
        try:
            while True:
                try:
                    with report_if_silent(f"{self._options.target}: {limit}"):
                        chunk = self._next(position, size)
                except TargetUnavailableError as exc:
                    time.sleep(backoff.fails(exc))
                    continue
                backoff.works()
                yield chunk  # even an empty one: the reader may have been stopped
                if self._place.done and self._options.every == "once":
                    return
                if self._place.done:
                    time.sleep(float(self._options.every))
        except (RefusedError, RowsError) as exc:
            what = self._options.target
            raise SourceError(f"stage {self._stage!r}: {what}: {exc}", stage=self._stage) from exc
        finally:
            self._connection.close()

    def check(self) -> None:
        """
        Check, without reading a row, whether a run could begin.

        Raises:
            RefusedError, RowsError, TargetUnavailableError: It could not.
        """
        options = self._options
        read = [*options.key, *((options.cursor,) if options.cursor else ()), *(options.columns or ())]
        names = ", ".join(f"t.{listed([name])}" for name in read)
        where = f" where ({options.where})" if options.where else ""
        with self._connection.opened() as connection:
            self._chosen()
            connection.raw(f"select {names} from {options.origin}{where} limit 0", None)  # noqa: S608  quoted

    def _next(self, position: str, size: int) -> Chunk:
        self._connection.open()
        if self._queries is None:
            self._queries = self._chosen()
            self._place = self._loaded(position)
        return self._chunk(size)

    def _chosen(self) -> Windows | Ordered:
        """Determine how new rows are recognised."""
        options = self._options
        if options.query is None:
            return Windows(options, self._connection, options.columns)
        names, types, _ = self._connection.raw(f"select * from {options.origin} limit 0", None)  # noqa: S608
        if ("xmin", _XID) in zip(names, types, strict=True):
            others = [name for name in names if name != "xmin"]
            return Windows(options, self._connection, options.columns or others)
        if options.cursor is None or "late" not in options.model_fields_set:
            raise RefusedError(
                "it gives no column `xmin`, so new rows cannot be distinguished from old ones; add the "
                "`xmin` of the table whose rows change, or set `cursor` to a column with the time of a "
                "change, and `late` to what no transaction takes longer than"
            )
        return Ordered(options, self._connection)

    def _loaded(self, position: str) -> Any:
        try:
            return msgspec.json.decode(position, type=self._queries.place) if position else None
        except msgspec.ValidationError as exc:
            raise RefusedError(
                "the position stored is of a query that identified new rows in another way, with or without "
                "`xmin`; restore it, or start over with --fresh"
            ) from exc

    def _chunk(self, size: int) -> Chunk:
        place = self._queries.next(self._place) if self._place is None or self._place.done else self._place
        rows, self._place = self._queries.rows(place, size)
        return Chunk.of([_arrival(*row) for row in rows], msgspec.json.encode(self._place).decode())


def _arrival(offset: str, text: str) -> Arrival:
    raw = text.encode()
    try:
        return Arrival(offset, parse(raw), raw)
    except UNREADABLE as exc:
        return Arrival(offset, None, raw, wording(exc))
