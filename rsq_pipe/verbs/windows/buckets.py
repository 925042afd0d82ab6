"""Buckets: the parts of a state that are deleted whole, each a while after the last record entered it."""

from __future__ import annotations

from msgspec import Struct

PARTS = 8
"""How many buckets a period is divided into: what is kept for it is kept an eighth longer at most."""


class Buckets(Struct, frozen=True):
    """
    Number buckets by the server's clock, and say when a bucket's contents need not be kept any more.

    What has been closed stays closed: a bucket that was due by then is not used again. If things are kept
    until the input ends, buckets are numbered by how often it has ended: 0, 1, 2, each due at the next end.

    Args:
        within: Milliseconds that something is kept; None for until the input ends.
    """

    within: int | None

    def due(self, bucket: int) -> int:
        """Return when a bucket is due, in milliseconds since 1970."""
        return bucket + 1 if self.within is None else (bucket + 1) * self._width + self.within

    def current(self, now: int, closed: int) -> int:
        """
        Number the bucket for what arrives now.

        Args:
            now: The server's clock, in milliseconds.
            closed: Up to when buckets are closed.
        """
        if self.within is None:
            return closed
        return max(now // self._width, (closed - self.within) // self._width)

    @property
    def _width(self) -> int:
        return max(1, (self.within or 0) // PARTS)


def spelled(buckets: list[int]) -> str:
    """Write the numbers of buckets into one scalar."""
    return ",".join(map(str, buckets))


def listed(stored: bytes | None) -> list[int]:
    """Read that scalar."""
    return [int(one) for one in (stored or b"").decode().split(",") if one]
