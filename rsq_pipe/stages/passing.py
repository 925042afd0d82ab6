"""pass: records unchanged."""

from __future__ import annotations

from collections.abc import Sequence

from rsq_pipe.model.outcome import Outcome
from rsq_pipe.streams.message import StreamMessage


class Pass:
    """Hand each record on as it is."""

    async def open(self) -> None:
        """Nothing."""

    async def process(self, batch: Sequence[StreamMessage]) -> Sequence[Outcome]:
        """Handle one batch."""
        return [message.data for message in batch]

    async def close(self) -> None:
        """Nothing."""
