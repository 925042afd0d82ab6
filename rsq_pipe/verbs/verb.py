"""Verb: a stage's work, a batch of records in, the outcomes of all of them out; no I/O on Redis."""

from __future__ import annotations

from typing import Protocol

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.model.state import StateChange


class Verb(Protocol):
    """
    Turn batches of records into outcomes.

    One instance serves one stage worker: it is never called twice at once.

    A verb never raises for what a record contains: that is a `Failure` in the record's place.
    """

    @property
    def pure(self) -> bool:
        """Whether it does nothing but make records of records: no user code, no effects, no waiting."""
        ...

    @property
    def changed(self) -> frozenset[str] | None:
        """
        The fields of a record that it sends on which may hold a value it has made; None for anything at all.

        A field that only goes on under its name or another, or not at all, is none of them.
        """
        ...

    async def open(self) -> None:
        """Make what lives as long as the stage."""
        ...

    async def process(self, batch: Batch) -> Outcomes:
        """
        Handle one batch.

        Returns:
            What becomes of each of its records; the columns may be the batch's own.

        Cancellation: safe at any point; nothing has been written anywhere that counts.
        """
        ...

    async def close(self) -> None:
        """Release what `open` made; abandon what still runs."""
        ...


class Remembering(Verb, Protocol):
    """A verb with state, which may be handed a batch while what became of the one before is being settled."""

    @property
    def looks_ahead(self) -> bool:
        """Whether it can handle the next batch before that is settled; else it would find out too late."""
        ...

    def assume(self, change: StateChange | None) -> None:
        """
        Take it that the state has been changed so, whether what is read shows it already or not yet.

        Where it is not so in the end the next batch is processed again. None: what is read is all there is.
        """
        ...
