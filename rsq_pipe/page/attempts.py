"""Attempts: counts recent wrong tokens by address, so that tokens cannot be guessed by trying."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

WRONG = 20
"""Maximum number of wrong tokens from an address within `SECONDS`."""

SECONDS = 60.0

ADDRESSES = 1_000
"""Maximum number of addresses stored; the one that began first is removed."""

_LONGEST = 64  # characters of an address: a proxy may pass on any text


class Attempts:
    """
    Count wrong tokens by address.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: dict[str, tuple[float, int]] = {}  # address -> time of its first, count since

    def __len__(self) -> int:
        """Count the stored addresses."""
        return len(self._wrong)

    @property
    def longest(self) -> int:
        """The length of the longest address."""
        return max(map(len, self._wrong), default=0)

    def wait(self, address: str) -> float:
        """Return for how many seconds tokens from an address are not checked; 0 if they are."""
        began, count = self._wrong.get(_network(address), (0.0, 0))
        return max(0.0, began + SECONDS - self._clock()) if count >= WRONG else 0.0

    def wrong(self, address: str) -> None:
        """Note a wrong token."""
        at, now = _network(address), self._clock()
        began, count = self._wrong.pop(at, (now, 0))
        if now - began >= SECONDS:
            began, count = now, 0
        while len(self._wrong) >= ADDRESSES:
            del self._wrong[next(iter(self._wrong))]
        self._wrong[at] = (began, count + 1)


def _network(address: str) -> str:
    """Return the network of an address: in IPv6 one client has a whole network of addresses."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:_LONGEST]
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is None:
            return str(ip_network((found, 64), strict=False))
        found = found.ipv4_mapped
    return str(found)
