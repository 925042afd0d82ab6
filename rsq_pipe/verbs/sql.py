"""sql: records made by a query, run on each record by itself, with files to join."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rsq_pipe.error_text import full_text
from rsq_pipe.errors import EvaluationError, HandlerError, HandlerTimeoutError
from rsq_pipe.ids import children
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Emitted, Failure, Outcomes, Reject, Retry
from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.stages.sql import SqlQuery
from rsq_pipe.sql.database import open_database
from rsq_pipe.sql.layout import AllFields, Column
from rsq_pipe.sql.references import ReferenceError_, References
from rsq_pipe.sql.rules import Shape, read
from rsq_pipe.sql.statement import Made, Statement
from rsq_pipe.sql.tree import SqlError
from rsq_pipe.verbs.executor import ThreadExecutor
from rsq_pipe.verbs.record_headers import onward

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_PARTS = 16
"""Number of parts into which a batch is split after a timeout, until the slow record is found."""


_LOADING = 300.0
"""Minimum of seconds allowed for reading the files."""


class Sql:
    """
    Run a query over each batch, in a thread, with DuckDB.

    Args:
        stage: The stage.
        root: The project root.
    """

    pure: ClassVar[bool] = True

    def __init__(self, stage: Stage, root: Path) -> None:
        self._stage = stage.name
        self._of: SqlQuery = stage.options
        self._root = root
        self._executor = ThreadExecutor(stage.name, stage.timeout)
        self._loader = ThreadExecutor(stage.name, max(stage.timeout, _LOADING))
        self._tables: _Tables | None = None
        self._connection: DuckDBPyConnection | None = None
        self._statement: Statement | None = None
        self._version = -1
        self.changed: frozenset[str] | None = None

    async def open(self) -> None:
        """Do nothing: files are read with the first batch, in its thread."""

    async def process(self, batch: Batch) -> Outcomes:
        """
        Handle one batch in a thread.

        Raises:
            HandlerError: A file cannot be read.
        """
        made = Made()
        late: dict[int, Failure | Retry | Reject] = {}
        waiting: list[Sequence[int]] = [range(len(batch))] if len(batch) else []
        while waiting:
            places = waiting.pop()
            statement = await self._current()
            [result] = await self._executor.each(partial(statement.run, batch.records), [places])
            if not isinstance(result, Failure):
                made.records |= result.records
                made.failed |= result.failed
                continue
            if not isinstance(result.error, HandlerTimeoutError):
                raise self._stopped(result.error)
            self._cut_off()
            if len(places) == 1:
                late[places[0]] = result
            else:
                size = -(-len(places) // _PARTS)
                waiting += [places[at : at + size] for at in range(0, len(places), size)][::-1]
        return self._outcomes(batch, made, late)

    async def close(self) -> None:
        """Stop what is still running, and release the database."""
        self._cut_off()
        await self._executor.close()
        await self._loader.close()
        if self._tables is not None:
            self._tables.leave()
            self._tables = None

    async def _current(self) -> Statement:
        """Read the files that have changed, in a thread; if any has, resolve the query's names again."""
        if self._tables is not None and self._statement is not None and not self._tables.references.changed():
            return self._statement
        [result] = await self._loader.each(self._loaded, [None])
        if isinstance(result, Failure):
            self._cut_off()
            raise self._stopped(result.error)
        self._statement = result
        self.changed = _changed(result)
        return self._statement

    def _loaded(self, _: None) -> Statement:
        if self._tables is None:
            self._tables = _Tables.enter(self._of, self._root)
        if self._connection is None:
            self._connection, self._statement = self._tables.database.cursor(), None
        references = self._tables.references
        references.refresh(self._connection, stage=self._stage)
        if self._statement is not None and self._version == references.version:
            return self._statement
        self._version = references.version
        return Statement(self._connection, self._tables.shape, self._of.types)

    def _cut_off(self) -> None:
        """Interrupt the query; its thread has been abandoned, with its connection."""
        if self._connection is not None:
            self._connection.interrupt()
            self._connection = self._statement = None

    def _stopped(self, error: BaseException) -> HandlerError:
        """Make the error that stops the stage; no record is to blame for it."""
        what = str(error) if isinstance(error, SqlError | HandlerError) else full_text(error)
        kind = "cannot use its files" if isinstance(error, ReferenceError_) else "cannot run its query"
        made = HandlerError(f"stage {self._stage!r} {kind}: {what}", stage=self._stage)
        made.__cause__ = error
        return made

    def _outcomes(self, batch: Batch, made: Made, late: dict[int, Failure | Retry | Reject]) -> Outcomes:
        out = Emitted(rids=(rids := []), sources=(sources := []))
        dropped: list[int] = []
        failed = late | {place: self._failure(what) for place, what in made.failed.items()}
        for place, rid in enumerate(batch.rids):
            records = made.records.get(place)
            if records and place not in failed:
                out.records += records
                rids += [rid] if len(records) == 1 else children(rid, len(records))
                sources += [place] * len(records)
            elif place not in failed:
                dropped.append(place)
        if batch.headers:
            going = onward(batch.headers)
            out.headers = {new: going[source] for new, source in enumerate(sources) if source in going}
        reason = self._tables.shape.reason if self._tables is not None else ""
        return Outcomes(
            {"": out} if sources else {}, {reason: dropped} if dropped else {}, dict(sorted(failed.items()))
        )

    def _failure(self, what: str) -> Failure:
        return Failure(
            EvaluationError(f"stage {self._stage!r}: sql: {what}", stage=self._stage), retryable=False
        )


def _changed(statement: Statement) -> frozenset[str]:
    """Name the fields that may hold a value made by SQL; all others come from the record unchanged."""
    names: set[str] = set()
    for item in statement.fields.layout:
        if isinstance(item, Column):
            names.add(item.name)
        elif isinstance(item, AllFields):
            names |= {*item.replaced, *(item.renamed.get(name, name) for name in item.cast)}
    return frozenset(names)


class _Tables:
    """
    Hold the database of a query, with the files it joins: one for all workers of a stage in a process.

    Thread-safe.

    Args:
        of: The query.
        root: The folder that paths are relative to.
    """

    _lock: ClassVar[threading.Lock] = threading.Lock()
    _shared: ClassVar[dict[tuple[Any, ...], _Tables]] = {}

    def __init__(self, of: SqlQuery, root: Path, key: tuple[Any, ...]) -> None:
        with open_database() as bare:
            self.shape: Shape = read(bare, of.query)
        self.references = References(root, self.shape.files)
        self.database = open_database(self.references.files, of.memory)
        self._key = key
        self._users = 0

    @classmethod
    def enter(cls, of: SqlQuery, root: Path) -> _Tables:
        """Share the database of a query, or make it."""
        key = (of.query, tuple(of.types.items()), of.memory, root)
        with cls._lock:
            if key not in cls._shared:
                cls._shared[key] = cls(of, root, key)
            tables = cls._shared[key]
            tables._users += 1
        return tables

    def leave(self) -> None:
        """Close it when the last user leaves."""
        with self._lock:
            self._users -= 1
            if not self._users:
                del self._shared[self._key]
                self.database.close()
