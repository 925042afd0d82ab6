"""Reading: rows, then changes, through outages; and the drop of an unused slot."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial

import structlog

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.ledger.database import RowsError
from rsq_pipe.connectors.outage import SourceBackoff
from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres_cdc.changes import Changes
from rsq_pipe.connectors.postgres_cdc.copying import Copying
from rsq_pipe.connectors.postgres_cdc.mark import Copy, Mark
from rsq_pipe.connectors.postgres_cdc.options import Options
from rsq_pipe.connectors.postgres_cdc.published import Table, published
from rsq_pipe.connectors.postgres_cdc.replication import SETTINGS, Replication
from rsq_pipe.connectors.postgres_cdc.slot import Slot
from rsq_pipe.connectors.postgres_cdc.snapshot_filter import SnapshotFilter
from rsq_pipe.connectors.postgres_cdc.types import Types
from rsq_pipe.connectors.sink import TargetUnavailableError
from rsq_pipe.connectors.source import Chunk
from rsq_pipe.errors import SourceError

_FIRST, _LONGEST = 0.1, 5.0
_NAME = 63
"""Maximum bytes of a connection's name that PostgreSQL keeps."""

_END = """
select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_flush_lsn() end
    - '0/0'::pg_lsn)::bigint
"""

_PATIENCE = 10.0
"""Seconds in which a former reader's connection has to end before its slot is dropped."""

_AGAIN = 0.2


def connection_of(options: Options) -> Connection:
    """Create a connection in addition to the stream, which returns values in the same form."""
    return Connection(options.dsn, options.timeout, f"{SETTINGS} -c client_encoding=utf8")


def reader_name(pipeline: str, stage: str) -> str:
    """Build the name of the connection of a source's reader."""
    return f"rsq-pipe {pipeline} {stage}".encode()[:_NAME].decode(errors="ignore")


class Reading:
    """
    Read a source from a stored position.

    The slot is only advanced to where the records are stored: no later reader needs the changes that it
    releases.

    Args:
        options: The source's settings.
        pipeline, stage: The owner; a former reader of the slot is recognised by them.
    """

    def __init__(self, options: Options, *, pipeline: str, stage: str) -> None:
        self._options = options
        self._stage = stage
        self._name = reader_name(pipeline, stage)
        self._connection = connection_of(options)
        self._stream: Replication | None = None
        self._stored = 0
        self._upto: int | None = None
        self._closing = threading.Event()

    def read(self, position: str, size: int) -> Iterator[Chunk]:
        """Yield the records after a position, in chunks; sometimes an empty one."""
        mark = Mark.load(position)
        self._stored = mark.lsn if mark else 0
        backoff = SourceBackoff(
            _FIRST,
            _LONGEST,
            where=f"postgres slot {self._options.slot}",
            log=structlog.get_logger("rsq_pipe").bind(stage=self._stage),
            away="the changes cannot be read now; trying again",
            back="the changes are read again",
        )
        try:
            while not self._closing.is_set():
                try:
                    for chunk, behind in self._once(mark, size):
                        backoff.works()
                        mark = behind
                        chunk.settled = partial(self._settled, mark.lsn)
                        yield chunk
                    return
                except TargetUnavailableError as exc:
                    if self._closing.is_set():
                        return
                    wait = backoff.fails(exc)
                    self._end_stream()
                    self._closing.wait(wait)
        except (RefusedError, RowsError) as exc:
            self._end_stream()
            raise SourceError(
                f"stage {self._stage!r}: postgres slot {self._options.slot}: {exc}", stage=self._stage
            ) from exc
        finally:
            self._connection.close()

    def close(self) -> None:
        """Report the stored position to the server, and release the slot; callable from another thread."""
        self._closing.set()
        self._end_stream()

    def _once(self, mark: Mark | None, size: int) -> Iterator[tuple[Chunk, Mark]]:
        """Read until the server fails."""
        options = self._options
        self._end_stream()
        stream = self._stream = Replication(options.dsn, self._name, options.timeout)
        self._connection.open()
        system = stream.system()
        if mark is not None and mark.system != system:
            raise RefusedError(
                "this is another server than the one that was read, or its data were recreated; start over "
                "with --fresh"
            )
        tables = published(self._connection, options.publication, options.tables)
        by_number = {table.number: table for table in tables}
        confirmed = Slot(self._connection, options.slot, self._name).ready(mark.lsn if mark else None)
        if mark is None:
            mark = self._beginning(system, confirmed, tables)
            yield Chunk([], [], mark.dump()), mark
        if options.until == "end" and self._upto is None:
            self._upto = int(self._connection.execute(_END)[0][0])
        if mark.copy is not None:
            for chunk, mark in Copying(self._connection, by_number, options.prefix).read(mark, size):  # noqa: B020
                yield chunk, mark
        stream.start(options.slot, options.publication, mark.lsn)
        stream.stored(self._stored)
        snapshots = SnapshotFilter(self._connection, by_number, mark.parts)
        wanted = None if options.tables is None else {table.title for table in tables}
        changes = Changes(stream, Types(self._connection), snapshots, wanted, options.prefix)
        yield from changes.read(mark, size, self._upto)

    def _beginning(self, system: str, lsn: int, tables: list[Table]) -> Mark:
        copies = self._options.snapshot == "initial" and tables
        return Mark(system, lsn, copy=Copy([table.number for table in tables]) if copies else None)

    def _settled(self, lsn: int, stored: bool) -> None:
        """Let the slot be advanced to where everything is stored; does not block."""
        if stored:
            self._stored = max(self._stored, lsn)
            if (stream := self._stream) is not None:
                stream.stored(lsn)

    def _end_stream(self) -> None:
        if (stream := self._stream) is not None:
            self._stream = None
            stream.close()


def drop_slot(options: Options, *, pipeline: str, stage: str) -> bool:
    """
    Drop the slot of a source that is not running.

    Returns:
        False if there is none.

    Raises:
        SourceError: It cannot be dropped.
    """
    until = time.monotonic() + _PATIENCE
    try:
        with connection_of(options).opened() as connection:
            slot = Slot(connection, options.slot, reader_name(pipeline, stage))
            while True:
                try:
                    return slot.drop()
                except TargetUnavailableError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(_AGAIN)
    except (RefusedError, RowsError, TargetUnavailableError) as exc:
        what = f"the replication slot {options.slot!r} cannot be dropped: {exc}"
        raise SourceError(f"stage {stage!r}: {what}", stage=stage) from exc
