"""Brake: keeps a consumer from reading while any one of several reasons holds."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from rsq_pipe.streams.consumer import StreamConsumer


class Brake:
    """Pause a consumer while at least one reason holds; the batch in flight is still handled."""

    def __init__(self) -> None:
        self._reasons: set[str] = set()
        self._consumer: StreamConsumer | None = None
        self._free = asyncio.Event()
        self._free.set()

    def holds(self, consumer: StreamConsumer) -> None:
        """Control this consumer from now on."""
        self._consumer = consumer
        if self._reasons:
            consumer.pause()

    def hold(self, reason: str) -> None:
        """Stop reading, for this reason, until `release`."""
        self._reasons.add(reason)
        self._free.clear()
        if self._consumer is not None:
            self._consumer.pause()

    def release(self, reason: str) -> None:
        """Remove one reason; reading resumes once none is left."""
        self._reasons.discard(reason)
        if self._reasons:
            return
        self._free.set()
        if self._consumer is not None:
            self._consumer.resume()

    async def passed(self) -> None:
        """Wait until there is no reason; for a reader that is not a consumer."""
        await self._free.wait()

    def lever(self, reason: str) -> Lever:
        """Return a way to pause and resume for one reason."""
        return Lever(self, reason)


class Lever(Struct, frozen=True):
    """Pause for one reason."""

    brake: Brake
    reason: str

    def pause(self) -> None:
        """Stop reading for this reason."""
        self.brake.hold(self.reason)

    def resume(self) -> None:
        """End this reason."""
        self.brake.release(self.reason)
