"""Seen: which transactions a snapshot saw, so that their changes are not told once more; no I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """
    Hold a snapshot: all transactions before `first` had ended, those from `end` on had not begun.

    Args:
        first, end: As above.
        under_way: Those between that had not ended.
    """

    first: int
    end: int
    under_way: frozenset[int]

    @classmethod
    def read(cls, text: str) -> Seen:
        """Read what `pg_current_snapshot()` writes: `10:20:10,14,15`."""
        first, end, under_way = text.split(":")
        return cls(int(first), int(end), frozenset(map(int, filter(None, under_way.split(",")))))

    def __contains__(self, xid: int) -> bool:
        """Tell of a transaction that was committed, by the 32 bits of its number that the log tells."""
        near = self.first
        whole = near + ((xid - near + 2**31) % 2**32 - 2**31)
        return whole < self.first or (whole < self.end and whole not in self.under_way)
