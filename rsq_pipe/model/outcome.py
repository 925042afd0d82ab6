"""Outcomes: a handler's results for a record, as values; and those of a whole batch, grouped by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct, field

from rsq_pipe.errors import HandlerError
from rsq_pipe.model.record_ids import joined_ids, picked
from rsq_pipe.model.state import StateChange


class Emit(Struct, frozen=True):
    """
    Send a record on.

    Args:
        record: The record to send.
        to: The port to send it through; empty for the stage's one output.
        headers: Headers to add to those of the input record.
    """

    record: dict[str, Any]
    to: str = ""
    headers: Mapping[str, str] | None = None


class Drop(Struct, frozen=True):
    """Finish the record without output, and count it."""

    reason: str = ""


class Retry(Struct, frozen=True):
    """
    Handle the record again later, as long as the stage's `attempts` allow.

    Args:
        after: Seconds to wait, or a duration such as "30s"; None for the stage's backoff.
        reason: Why, for the log and the dead letter.
    """

    after: float | str | None = None
    reason: str = ""


class Reject(Struct, frozen=True):
    """Send the record to the dead-letter queue at once, without another attempt."""

    reason: str = ""


class Failure(Struct, frozen=True):
    """
    State that handling the record failed; the stage retries, dead-letters or drops it.

    Args:
        error: The exception, or a HandlerTimeoutError / HandlerContractError.
        retryable: False sends it to the dead-letter queue without another attempt: the same input
            can only fail the same way (a broken contract, a record that is not what the handler's
            annotation asks for).
    """

    error: BaseException
    retryable: bool = True


class NotCalled(Failure, frozen=True):
    """State that a stop came before the record's turn: it has had no attempt, and waits for its first."""


NOT_CALLED = NotCalled(HandlerError("not handled yet: the run was stopped before its turn came"))
"""The outcome of a record that a stop leaves to the next run."""

# What a verb returns for each record. A bare dict means Emit(dict), None means Drop, a list means several
# children; they are not wrapped, because in most stages most records become one bare dict.
Outcome: TypeAlias = (
    dict[str, Any] | Sequence["dict[str, Any] | Emit"] | Emit | Drop | Retry | Reject | Failure | None
)


MAX_CHILDREN = 10_000
"""Maximum number of records that one record may become in one stage."""

NO_RECORD, EMPTY_LIST, UNSAID = "returned None", "returned no records", "no reason given"
"""Drop reasons for handlers that give none; `on_error: drop` adds the cause of the failure."""


# Not frozen, because the batch's columns are filled in a loop.
class Emitted(Struct):
    """
    Hold the records that a stage sends to one port, in columns.

    Args:
        records: The records.
        rids: Their ids: those of the records they were made from, or of children.
        sources: For each, the place in the stage's batch of the record it was made from; ascending.
        headers: Place among these -> headers other than the record id, for the few that have any.
    """

    records: list[Any] = field(default_factory=list)
    rids: Sequence[str] = field(default_factory=list)
    sources: Sequence[int] = field(default_factory=list)
    headers: Mapping[int, Mapping[str, str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)


def chosen(emitted: Emitted, keep: Sequence[int]) -> Emitted:
    """Return some of the records."""
    return Emitted(
        [emitted.records[place] for place in keep],
        picked(emitted.rids, keep),
        [emitted.sources[place] for place in keep],
        {new: emitted.headers[old] for new, old in enumerate(keep) if old in emitted.headers}
        if emitted.headers
        else {},
    )


class Outcomes(Struct):
    """
    Hold the outcome of each record of a batch.

    Each record is in exactly one of these, or in `emitted` once for each record it has become.

    Args:
        emitted: Port -> the records sent there; the name of a single output is empty.
        dropped: Reason -> places of the records that end here.
        failed: Place -> why a record failed, has to be handled again, or is rejected.
        done: Places of records that leave the pipeline here: through a sink, or a stage called for its side
            effects.
        stored: Places of records that became part of the stage's state; other records may leave it later.
        state: The change of the stage's state; for all its records, or for none.
        unknown: Key -> places of records whose lookup of that key found nothing; each is also in one of the
            others.
    """

    emitted: dict[str, Emitted] = field(default_factory=dict)
    dropped: dict[str, list[int]] = field(default_factory=dict)
    failed: dict[int, Failure | Retry | Reject] = field(default_factory=dict)
    done: Sequence[int] = field(default_factory=list)
    stored: Sequence[int] = ()
    state: StateChange | None = None
    unknown: dict[str, list[int]] = field(default_factory=dict)


def placed(part: Outcomes, places: Sequence[int]) -> Outcomes:
    """Translate the outcomes of some of a batch's records, at these places, to places in the whole batch."""
    emitted = {
        port: Emitted(some.records, some.rids, [places[source] for source in some.sources], some.headers)
        for port, some in part.emitted.items()
    }
    return Outcomes(
        emitted,
        {reason: [places[at] for at in some] for reason, some in part.dropped.items()},
        {places[at]: why for at, why in part.failed.items()},
        [places[at] for at in part.done],
        [places[at] for at in part.stored],
        part.state,
        {key: [places[at] for at in some] for key, some in part.unknown.items()},
    )


def add_part(whole: Outcomes, part: Outcomes, start: int) -> None:
    """Add the outcomes of a part of a batch, which begins at the place `start` of the whole."""
    for port, emitted in part.emitted.items():
        into = whole.emitted.setdefault(port, Emitted(headers={}))
        at = len(into)
        into.records += emitted.records
        into.rids = joined_ids(into.rids, emitted.rids[:])
        into.sources = [*into.sources, *(start + source for source in emitted.sources)]
        into.headers = {**into.headers, **{at + place: some for place, some in emitted.headers.items()}}
    for reason, places in part.dropped.items():
        whole.dropped.setdefault(reason, []).extend(start + place for place in places)
    whole.failed |= {start + place: why for place, why in part.failed.items()}
    for key, places in part.unknown.items():
        whole.unknown.setdefault(key, []).extend(start + place for place in places)
    whole.done = [*whole.done, *(start + place for place in part.done)]
