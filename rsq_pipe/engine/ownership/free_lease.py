"""FreeLease: takes any one of several leases that is free."""

from __future__ import annotations

from collections.abc import Sequence

from rsq_pipe.streams.lease import Lease


class FreeLease:
    """
    Hold one of several leases; `Ownership` uses it like a single lease.

    Args:
        leases: The leases, of which one is held at a time; the first free one is taken.
    """

    def __init__(self, leases: Sequence[Lease]) -> None:
        self._leases = leases
        self._held: Lease | None = None
        self.seconds = leases[0].seconds

    @property
    def place(self) -> int:
        """The index of the lease that is held, from 0."""
        return self._leases.index(self._last)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys whose values name their holders."""
        return tuple(key for lease in self._leases for key in lease.keys)

    @property
    def holder(self) -> str:
        """The process that has the first of them, if it is not this one."""
        return self._leases[0].holder

    @property
    def epoch(self) -> int:
        """The epoch of the lease that is held."""
        return self._last.epoch

    @property
    def is_held(self) -> bool:
        """Whether no other process can have taken the held lease by now."""
        return self._held is not None and self._held.is_held

    async def take(self) -> bool:
        """Take a free one, or renew the one held; return False if none is free, or the held one was lost."""
        if self._held is not None:
            if await self._held.take():
                return True
            self._held = None
            return False
        for lease in self._leases:
            if await lease.take():
                self._held = lease
                return True
        return False

    async def drop(self) -> None:
        """Release the lease for the next process."""
        held, self._held = self._held, None
        if held is not None:
            await held.drop()

    @property
    def _last(self) -> Lease:
        return self._held or self._leases[0]
