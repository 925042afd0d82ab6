"""Lease: the right of one process at a time to do something, with a token that fences earlier holders."""

from __future__ import annotations

import time

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.script import LEASE
from rsq_pipe.streams.worker import is_gone, worker_name

EPOCH = ":epoch"
"""The suffix of the key of a lease's epoch."""


class Lease:
    """
    Hold a lease for as long as it is renewed.

    A holder that is paused loses the lease without noticing. Any step that must not happen after that has to
    carry `epoch`, which grows with every new holder.

    Args:
        client: The server.
        key: The lease's key; the epoch's key is in the same slot.
        seconds: How long the lease lasts without being renewed.
    """

    def __init__(self, client: StreamClient, key: str, seconds: float) -> None:
        self._channel = client.channel
        self._keys = [key, f"{key}{EPOCH}"]
        self._name = worker_name("lease")
        self._milliseconds = max(1, int(seconds * 1000))
        self.seconds = seconds
        self.epoch = 0
        self.holder = ""
        self._until = 0.0

    @property
    def keys(self) -> tuple[str, ...]:
        """The key that stores its holder."""
        return (self._keys[0],)

    @property
    def is_held(self) -> bool:
        """Whether no other process can have the lease yet, by this process's clock; asks no server."""
        return bool(self.epoch) and time.monotonic() < self._until

    async def take(self) -> bool:
        """
        Take or renew the lease; return False if another process, then named by `holder`, has it.

        A lease whose holder is a process of this machine that no longer exists is taken at once.

        Redis: lease.lua.
        """
        asked = time.monotonic()  # the lease may begin to run out before the reply arrives
        epoch, holder = await self._channel.run(LEASE, self._keys, [self._name, self._milliseconds])
        self.holder = holder.decode()
        if not epoch and is_gone(self.holder):
            await self._channel.run(LEASE, self._keys, [self.holder, 0])
            epoch, holder = await self._channel.run(LEASE, self._keys, [self._name, self._milliseconds])
            self.holder = holder.decode()
        self.epoch = epoch
        self._until = asked + self.seconds
        return bool(epoch)

    async def drop(self) -> None:
        """Release the lease for the next process; do nothing if another already holds it."""
        self.epoch = 0
        await self._channel.run(LEASE, self._keys, [self._name, 0])
