"""Normalise: turns a handler's results for each record into the outcomes of the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rsq_pipe.errors import HandlerContractError, without_frames
from rsq_pipe.ids import child
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import (
    EMPTY_LIST,
    MAX_CHILDREN,
    NO_RECORD,
    UNSAID,
    Drop,
    Emit,
    Emitted,
    Failure,
    Outcome,
    Outcomes,
    Reject,
    Retry,
)
from rsq_pipe.redaction import redact
from rsq_pipe.spec.graph import Stage
from rsq_pipe.verbs.record_headers import added, onward

_ONLY_RECORDS = {dict}


class Normaliser:
    """
    Normalise the results of one stage's handler.

    Args:
        stage: The stage. If it calls a handler and has no output, it is called for its side effects: a result
            sent to no port counts as done, as through a sink.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage.name
        self._ports = tuple(stage.outputs)
        self._has_output = "" in stage.outputs
        self.has_effects_only = stage.verb == "call" and not self._has_output

    def outcomes(self, batch: Batch, results: list[Any]) -> Outcomes:
        """
        Return the outcomes of a batch.

        Args:
            batch: The batch.
            results: One result per record, in order; the list becomes a column if all are records.
        """
        # Nearly every batch of nearly every stage takes this branch.
        if self._has_output and results and set(map(type, results)) == _ONLY_RECORDS:
            headers = onward(batch.headers) if batch.headers else {}
            return Outcomes({"": Emitted(results, batch.rids, range(len(batch)), headers)})
        sorting = _Sorting(self, batch)
        has_output, take, rids = self._has_output, sorting.output.take, [*batch.rids]
        for place, result in enumerate(results):
            kind = type(result)
            if kind is dict and has_output:
                take(place, result, rids[place])
            elif kind is Emit and not result.headers and result.to in self._ports:
                sorting.column(result.to).take(place, result.record, rids[place])
            elif kind is list and has_output and set(map(type, result)) == _ONLY_RECORDS:
                sorting.split(place, result)
            else:
                sorting.sort(place, result)
        return sorting.outcomes()

    def check_number(self, children: Sequence[Any]) -> None:
        """Refuse more children of one record than can be written; raise HandlerContractError."""
        if len(children) > MAX_CHILDREN:
            raise HandlerContractError(
                f"stage {self._stage!r} made {len(children):,} records of one; "
                f"the bound is {MAX_CHILDREN:,}, since they are written in one step",
                stage=self._stage,
            )

    def wishes(self, batch: Batch, place: int, result: Any) -> list[_Wish]:
        """
        List the records that one record becomes.

        Raises:
            HandlerContractError: They are too many, or one goes to a port that does not exist, or has headers
                that a handler cannot set.
        """
        rid = batch.rids[place]
        if not isinstance(result, list | tuple):
            return [] if self._goes_nowhere(result) else [self._wish(batch, place, result, rid)]
        self.check_number(result)
        return [
            self._wish(batch, place, one, child(rid, index))
            for index, one in enumerate(result)
            if not self._goes_nowhere(one)
        ]

    def _goes_nowhere(self, wish: Outcome) -> bool:
        """Return whether `to: none` means this one: it names no port."""
        return self.has_effects_only and not (isinstance(wish, Emit) and wish.to)

    def _wish(self, batch: Batch, place: int, wish: Any, rid: str) -> _Wish:
        emit = wish if isinstance(wish, Emit) else Emit(wish)
        if emit.to not in self._ports:
            ports = ", ".join(repr(port) for port in self._ports if port) or "none"
            port = f"port {emit.to!r}" if emit.to else "an output without a port"
            raise HandlerContractError(
                f"stage {self._stage!r} emitted to {port}, which it does not have; its ports: {ports}",
                stage=self._stage,
            )
        if not emit.headers:
            return _Wish(emit.to, emit.record, rid, None)
        return _Wish(emit.to, emit.record, rid, added(self._stage, emit.headers, batch, place))


class _Wish(NamedTuple):
    """A record to be emitted; headers None: those it came with."""

    port: str
    record: Any
    rid: str
    headers: Mapping[str, str] | None


class _Column:
    """The records collected for one port."""

    __slots__ = ("headers", "records", "rids", "sources")

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.rids: list[str] = []
        self.sources: list[int] = []
        self.headers: dict[int, Mapping[str, str]] = {}

    def take(self, place: int, record: Any, rid: str) -> None:
        self.records.append(record)
        self.rids.append(rid)
        self.sources.append(place)

    def emitted(self, going: Mapping[int, Mapping[str, str]]) -> Emitted:
        headers = self.headers
        if going:
            came = {new: going[source] for new, source in enumerate(self.sources) if source in going}
            headers = {**came, **headers}
        return Emitted(self.records, self.rids, self.sources, headers)


class _Sorting:
    """The outcomes collected for one batch."""

    def __init__(self, of: Normaliser, batch: Batch) -> None:
        self._of = of
        self._batch = batch
        self.output = _Column()
        self._columns = {"": self.output}
        self._dropped: dict[str, list[int]] = {}
        self._reasons: dict[str, str] = {}
        self._failed: dict[int, Failure | Retry | Reject] = {}
        self._done: list[int] = []

    def column(self, port: str) -> _Column:
        """Return the collected records of a port."""
        found = self._columns.get(port)
        if found is None:
            found = self._columns[port] = _Column()
        return found

    def split(self, place: int, children: list[dict[str, Any]]) -> None:
        """Add the children of one record, all for the one output and without headers of their own."""
        try:
            self._of.check_number(children)
        except HandlerContractError as exc:
            self._failed[place] = Failure(without_frames(exc), retryable=False)
            return
        rid, column = self._batch.rids[place], self.output
        column.records += children
        column.rids += [child(rid, index) for index in range(len(children))]
        column.sources += [place] * len(children)

    def sort(self, place: int, result: Any) -> None:
        """Add any kind of outcome."""
        match result:
            case None if not self._of.has_effects_only:
                self._drop(place, NO_RECORD)
            case Drop():
                self._drop(place, self._why(result.reason))
            case Failure() | Retry() | Reject():
                self._failed[place] = result
            case _:
                try:
                    wishes = self._of.wishes(self._batch, place, result)
                except HandlerContractError as exc:
                    self._failed[place] = Failure(without_frames(exc), retryable=False)
                else:
                    self._emit(place, wishes)

    def outcomes(self) -> Outcomes:
        """Build the outcomes."""
        going = onward(self._batch.headers)
        emitted = {port: column.emitted(going) for port, column in self._columns.items() if column.records}
        return Outcomes(emitted, self._dropped, self._failed, self._done)

    def _emit(self, place: int, wishes: Sequence[_Wish]) -> None:
        for port, record, rid, headers in wishes:
            column = self.column(port)
            if headers:
                column.headers[len(column.records)] = headers
            column.take(place, record, rid)
        if wishes:
            return
        if self._of.has_effects_only:
            self._done.append(place)
        else:  # a list without records means "no output for this record"
            self._drop(place, EMPTY_LIST)

    def _drop(self, place: int, reason: str) -> None:
        self._dropped.setdefault(reason, []).append(place)

    def _why(self, reason: str) -> str:
        """Return a drop's reason, redacted: a handler may quote a secret."""
        if not reason:
            return UNSAID
        known = self._reasons.get(reason)
        if known is None:
            known = self._reasons[reason] = redact(reason)
        return known
