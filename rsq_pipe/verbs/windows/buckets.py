"""Buckets: the parts of a state that are deleted as a whole, some time after the last record entered."""

from __future__ import annotations

from msgspec import Struct

PARTS = 8
"""Number of buckets for a period: values are kept an eighth longer than necessary at most."""


class Buckets(Struct, frozen=True):
    """
    Number buckets by the server's clock, and compute when a bucket can be deleted.

    A closed bucket stays closed: one that was due by then is not used again. If values are kept until the
    input ends, buckets are numbered by how often it has ended: 0, 1, 2, each due at the next end.

    Args:
        within: Milliseconds for which a value is kept; None for until the input ends.
    """

    within: int | None

    def due(self, bucket: int) -> int:
        """Return when a bucket is due, in milliseconds since 1970."""
        return bucket + 1 if self.within is None else (bucket + 1) * self._width + self.within

    def current(self, now: int, closed: int) -> int:
        """
        Return the number of the bucket for values that arrive now.

        Args:
            now: The server's clock, in milliseconds.
            closed: The time up to which buckets are closed.
        """
        if self.within is None:
            return closed
        return max(now // self._width, (closed - self.within) // self._width)

    @property
    def _width(self) -> int:
        return max(1, (self.within or 0) // PARTS)


def spelled(buckets: list[int]) -> str:
    """Encode the numbers of buckets in one scalar."""
    return ",".join(map(str, buckets))


def listed(stored: bytes | None) -> list[int]:
    """Decode what `spelled` encoded; nothing stored is no buckets."""
    return [int(one) for one in (stored or b"").decode().split(",") if one]
