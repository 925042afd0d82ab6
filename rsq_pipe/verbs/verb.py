"""Verb: the work of a stage: a batch of records in, the outcomes of all of them out; no I/O on Redis."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.model.state import StateChange


class Verb(Protocol):
    """
    Turn batches of records into outcomes.

    One instance serves one stage worker: it is never called twice at once.

    A verb never raises because of what a record contains: it puts a `Failure` in the record's place.
    """

    @property
    def pure(self) -> bool:
        """Whether it only makes records from records: no user code, no effects, no waiting."""
        ...

    @property
    def changed(self) -> frozenset[str] | None:
        """
        The fields of an emitted record that may hold a value it has made; None for any field.

        A field that is only passed on, under its name or another, or dropped, does not count.
        """
        ...

    async def open(self) -> None:
        """Open what lives as long as the stage."""
        ...

    async def process(self, batch: Batch) -> Outcomes:
        """
        Handle one batch.

        Returns:
            The outcome of each of its records; the columns may be the batch's own.

        Cancellation: safe at any point; nothing has been written that counts.
        """
        ...

    async def close(self) -> None:
        """Release what `open` made; abandon what is still running."""
        ...


class PlainVerb:
    """The base of verbs that hold nothing open."""

    async def open(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


class Waits(Protocol):
    """Calls of one stage to a system or to user code."""

    def lasting(self, now: float) -> tuple[str, float] | None:
        """Return what the stage waits for, and since when, by `time.monotonic`; None for nothing."""
        ...


@runtime_checkable
class WaitingVerb(Protocol):
    """A verb that makes calls which may last long."""

    @property
    def waits(self) -> Waits:
        """The calls."""
        ...


@runtime_checkable
class CallingVerb(Verb, Protocol):
    """A verb that calls something outside for each record."""

    def skip_rest(self) -> None:
        """Begin no more calls for the batch in progress: the records left get the outcome `NOT_CALLED`."""
        ...


class StatefulVerb(Verb, Protocol):
    """A verb with state, which may get a batch while the one before is still being settled."""

    @property
    def looks_ahead(self) -> bool:
        """Whether it can handle the next batch before that; if not, it would get the new state too late."""
        ...

    def assume(self, change: StateChange | None) -> None:
        """
        Assume that the state has been changed like this, whether or not a read shows it yet.

        If the change fails in the end, the next batch is processed again. None: the stored state is complete.
        """
        ...
