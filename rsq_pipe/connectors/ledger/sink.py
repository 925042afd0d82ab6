"""LedgerSink: writes each batch to a table, in one transaction with its row of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf
from time import monotonic
from typing import Any, ClassVar, Literal

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.ledger.columns import Fresh
from rsq_pipe.connectors.ledger.database import Database, RowsError
from rsq_pipe.connectors.ledger.ledger import Ledger, LostPlaceError, Row, warn_of_lost_batches
from rsq_pipe.connectors.sink import FencedError, TargetBusyError, TargetUnavailableError, Written
from rsq_pipe.errors import EncodeError, SinkError, without_frames
from rsq_pipe.model.batch import Batch

ASK_EVERY = 1.0
"""Seconds between two looks at the columns of a table, however many batches hold records that do not fit."""


class _TakenBackError(Exception):
    """Ends a transaction that was only a trial."""


class LedgerSink:
    """
    Write records to a database table, each once.

    A batch is one transaction: advance the ledger's row, if it still has the epoch of this process, and write
    the records that are not in the table yet. Then the runner settles the batch and stores the row's number.
    A process that opens the sink raises the epoch under the row's lock: from then on no batch of an earlier
    writer is committed, and everything committed before is in the row that it reads.

    Args:
        database: The database.
        stage: The stage, for messages.
        target: The target, as a user would name it.
        fresh: What `--fresh` does with the contents of the table.
    """

    guarantee: ClassVar[Literal["exactly-once", "at-least-once"]] = "exactly-once"
    exclusive: ClassVar[bool] = True

    def __init__(self, database: Database, *, stage: str, target: str, fresh: Fresh = "error") -> None:
        self._database = database
        self._stage = stage
        self._fresh = fresh
        self._ledger: Ledger | None = None
        self._asked = -inf
        self.target = target

    def open(
        self, position: str | None, *, fresh: bool = False, still: Callable[[], bool] = lambda: True
    ) -> str:
        """Raise the ledger's epoch, and find out what was committed but not settled."""
        self._ledger = None
        database = self._database
        row = Row(0, 0, 0)
        try:
            with self._naming_target():
                database.connect()
                with database.transaction():
                    self._begin(fresh=fresh)
                    row = database.row() or row
                    # Under the lock: a process that fences this one later finds everything committed here.
                    if not still():
                        raise TargetBusyError("another process has become its writer")
                    database.read_columns()
                    if fresh:
                        row = Row(row.epoch, 0, 0)
                        self._start_over()
                    row = Row(row.epoch + 1, row.seq, row.settled, row.carried, row.rids)
                    ledger = Ledger(row, None if fresh else position)
                    database.replace(row)
        except LostPlaceError as exc:
            raise self._error(_lost(exc, row, position)) from exc
        warn_of_lost_batches(ledger, self._stage, self.target)
        self._ledger = ledger
        return ledger.position

    def check_anew(self) -> None:
        """Check whether `--fresh` may start over; if there was no ledger, an empty one stays."""
        try:
            with self._naming_target():
                self._database.connect()
                with suppress(_TakenBackError), self._database.transaction():
                    self._database.read_columns()
                    self._check_empty()
                    raise _TakenBackError
        finally:
            self._database.close()

    def write(self, batch: Batch) -> Written:
        """Write those records of a batch that are not in the table yet."""
        assert self._ledger is not None, "the sink is not open"
        with self._naming_target():
            self._database.ready(batch.records)
            places = self._unwritten(batch)
            rows, failures = self._rows(batch, places)
            # Nobody restarts a run because a column was added.
            if failures and self._has_changed():
                rows, failures = self._rows(batch, places)
            try:
                row = self._write(batch, rows, failures)
            except RowsError:
                if self._database.changed():
                    rows, failures = self._rows(batch, places)
                if self._database.has_savepoints:
                    row = self._write(batch, rows, failures, find_bad=True)
                else:
                    good, bad = self._tried(rows)
                    failures |= bad
                    row = self._write(batch, good, failures)
        self._ledger.committed(row)
        return Written(str(row.seq), failures)

    def _has_changed(self) -> bool:
        """Ask whether the table has other columns by now, unless that was asked a moment ago."""
        if monotonic() - self._asked < ASK_EVERY:
            return False
        changed = self._database.changed()
        self._asked = monotonic()
        return changed

    def close(self) -> None:
        """Close the connection."""
        self._ledger = None
        self._database.close()

    def _write(
        self,
        batch: Batch,
        rows: Sequence[tuple[int, Any]],
        failures: dict[int, Exception],
        *,
        find_bad: bool = False,
    ) -> Row:
        with self._database.transaction():
            return self._put(batch, rows, failures, find_bad=find_bad)

    def _put(
        self,
        batch: Batch,
        rows: Sequence[tuple[int, Any]],
        failures: dict[int, Exception],
        *,
        find_bad: bool,
    ) -> Row:
        # First: it locks the row, so that from here on no process opens the sink until this is over.
        row = self._advanced(batch, failures)
        if find_bad:
            failures |= self._put_good(rows)
            row = self._advanced(batch, failures)
        elif rows:
            self._database.put([one for _, one in rows])
        return row

    def _advanced(self, batch: Batch, failures: dict[int, Exception]) -> Row:
        assert self._ledger is not None
        row = self._ledger.next(batch.rids, failures)
        if not self._database.advance(row):
            raise self._refused()
        return row

    def _unwritten(self, batch: Batch) -> Sequence[int]:
        assert self._ledger is not None
        return self._ledger.unwritten(batch.rids)

    def _begin(self, *, fresh: bool) -> None:
        """Do the first step of opening the sink, in the transaction."""

    def _refused(self) -> Exception:
        """Make the error that the row's epoch is not this writer's."""
        return self._error("another process has opened it since: a pipeline of this name on another server?")

    def _rows(
        self, batch: Batch, places: Sequence[int]
    ) -> tuple[list[tuple[int, Any]], dict[int, Exception]]:
        """Make rows from some records, each with the record's place; report those that cannot be rows."""
        if len(places) == len(batch):
            rows, failures = self._database.rows(batch.records, batch.rids)
        else:
            some = batch.only(places)
            rows, failures = self._database.rows(some.records, some.rids)
        pairs = [pair for at, pair in enumerate(zip(places, rows, strict=True)) if at not in failures]
        return pairs, {places[at]: without_frames(exc) for at, exc in failures.items()}

    def _put_good(self, rows: Sequence[tuple[int, Any]]) -> dict[int, Exception]:
        """Write rows in ever smaller parts, down to each that cannot be written; return the errors."""
        if not rows:
            return {}
        try:
            with self._database.savepoint():
                self._database.put([one for _, one in rows])
        except RowsError as exc:
            if len(rows) == 1:
                return {rows[0][0]: EncodeError(f"{self.target} does not take the record: {exc}")}
        else:
            return {}
        middle = len(rows) // 2
        return {**self._put_good(rows[:middle]), **self._put_good(rows[middle:])}

    def _tried(self, rows: Sequence[tuple[int, Any]]) -> tuple[list[tuple[int, Any]], dict[int, Exception]]:
        """Find the rows that can be written, by trying ever smaller parts; nothing stays written."""
        good: list[tuple[int, Any]] = []
        bad: dict[int, Exception] = {}

        def try_part(part: Sequence[tuple[int, Any]]) -> None:
            try:
                with suppress(_TakenBackError), self._database.transaction():
                    self._database.put([one for _, one in (*good, *part)])
                    raise _TakenBackError
            except RowsError as exc:
                if len(part) == 1:
                    bad[part[0][0]] = EncodeError(f"{self.target} does not take the record: {exc}")
                    return
                middle = len(part) // 2
                try_part(part[:middle])
                try_part(part[middle:])
            else:
                good.extend(part)

        try_part(rows)
        return good, bad

    def _start_over(self) -> None:
        """Treat the contents of the table as `fresh` says."""
        self._check_empty()
        if self._fresh == "empty":
            self._database.empty()

    def _check_empty(self) -> None:
        if self._fresh == "error" and not self._database.is_empty():
            raise RefusedError(
                "it holds rows, and --fresh would write all records again; set `fresh: empty` to delete "
                "what it holds, or `fresh: append` to keep it"
            )

    @contextmanager
    def _naming_target(self) -> Iterator[None]:
        """Name the target where the database refuses something, or is away: its own messages may not."""
        try:
            yield
        except RefusedError as exc:
            raise self._error(str(exc)) from exc
        except (FencedError, TargetBusyError):
            raise
        except TargetUnavailableError as exc:
            raise TargetUnavailableError(f"{self.target}: {exc}") from exc

    def _error(self, why: str) -> SinkError:
        return SinkError(f"stage {self._stage!r}: {self.target}: {why}", stage=self._stage)


def _lost(error: LostPlaceError, row: Row, position: str | None) -> str:
    """Say what has probably happened to the table, or to the server, and what to do."""
    if row.seq == 0:  # nothing was ever written by this pipeline to what is there now
        return (
            "the rows that this pipeline wrote are not in it: it was deleted or replaced, or the settings "
            "named another one before; restore that, or run with --fresh, which writes all records again"
        )
    if position is None:
        return (
            f"{error}: the server's data, such as .rsq/, was deleted, or --redis named another server "
            "before, or another pipeline of this name writes the table; use that server, or run with --fresh"
        )
    return (
        f"{error}: the database or the server was restored to an earlier state, or another pipeline of this "
        "name writes the table; look which records it lacks, and then --fresh starts over"
    )
