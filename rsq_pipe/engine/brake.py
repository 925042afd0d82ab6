"""Brake: has a consumer read nothing while there is a reason for that, of several that come and go."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rsq_pipe.streams.consumer import StreamConsumer


class Brake:
    """Pause a consumer while at least one reason holds; the batch that is in flight is handled."""

    def __init__(self) -> None:
        self._reasons: set[str] = set()
        self._consumer: StreamConsumer | None = None
        self._free = asyncio.Event()
        self._free.set()

    def holds(self, consumer: StreamConsumer) -> None:
        """Pause this consumer, from now on."""
        self._consumer = consumer
        if self._reasons:
            consumer.pause()

    def hold(self, reason: str) -> None:
        """Let nothing be read until `release`."""
        self._reasons.add(reason)
        self._free.clear()
        if self._consumer is not None:
            self._consumer.pause()

    def release(self, reason: str) -> None:
        """End one reason; it is read on once there is none."""
        self._reasons.discard(reason)
        if self._reasons:
            return
        self._free.set()
        if self._consumer is not None:
            self._consumer.resume()

    async def passed(self) -> None:
        """Wait until there is no reason, where it is no consumer that reads."""
        await self._free.wait()

    def lever(self, reason: str) -> Lever:
        """Give one reason to somebody who pauses and resumes."""
        return Lever(self, reason)


@dataclass(frozen=True, slots=True)
class Lever:
    """Pause for one reason."""

    brake: Brake
    reason: str

    def pause(self) -> None:
        """Let nothing be read."""
        self.brake.hold(self.reason)

    def resume(self) -> None:
        """End this reason."""
        self.brake.release(self.reason)
