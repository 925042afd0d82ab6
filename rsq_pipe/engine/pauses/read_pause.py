"""ReadPause: keeps a consumer from reading while any one of several reasons holds."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from rsq_pipe.streams.consumer import StreamConsumer


class ReadPause:
    """Pause a consumer while at least one reason holds; the batch in flight is still handled."""

    def __init__(self) -> None:
        self._reasons: set[str] = set()
        self._consumer: StreamConsumer | None = None
        self._resumed = asyncio.Event()
        self._resumed.set()

    def control(self, consumer: StreamConsumer) -> None:
        """Pause this consumer from now on."""
        self._consumer = consumer
        if self._reasons:
            consumer.pause()

    def pause(self, reason: str) -> None:
        """Stop reading, for this reason, until `resume`."""
        self._reasons.add(reason)
        self._resumed.clear()
        if self._consumer is not None:
            self._consumer.pause()

    def resume(self, reason: str) -> None:
        """Remove one reason; reading resumes once none is left."""
        self._reasons.discard(reason)
        if self._reasons:
            return
        self._resumed.set()
        if self._consumer is not None:
            self._consumer.resume()

    async def until_resumed(self) -> None:
        """Wait until there is no reason; for a reader that is not a consumer."""
        await self._resumed.wait()

    def because(self, reason: str) -> PauseReason:
        """Return a way to pause and resume for one reason."""
        return PauseReason(self, reason)


class PauseReason(Struct, frozen=True):
    """Pause for one reason."""

    read_pause: ReadPause
    reason: str

    def pause(self) -> None:
        """Stop reading for this reason."""
        self.read_pause.pause(self.reason)

    def resume(self) -> None:
        """End this reason."""
        self.read_pause.resume(self.reason)
