"""Verb: a stage's work, a batch of messages in, one outcome per message out; no I/O on Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rsq_pipe.model.outcome import Outcome
from rsq_pipe.streams.message import StreamMessage


class Verb(Protocol):
    """
    Turn batches of messages into outcomes.

    One instance serves one stage worker: it is never called twice at once.

    A verb never raises for what a record contains: that is a `Failure` in the record's place.
    """

    async def open(self) -> None:
        """Make what lives as long as the stage."""
        ...

    async def process(self, batch: Sequence[StreamMessage]) -> Sequence[Outcome]:
        """
        Handle one batch.

        Returns:
            One outcome per message, in the same order.

        Cancellation: safe at any point; nothing has been written anywhere that counts.
        """
        ...

    async def close(self) -> None:
        """Release what `open` made; abandon what still runs."""
        ...
