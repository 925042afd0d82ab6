"""ReadSize: how many entries a read asks for."""

from __future__ import annotations

from rsq_pipe.streams.entry import Arrived
from rsq_pipe.streams.settlement import MAX_ENTRIES

QUICK = 0.1
"""Seconds: while a slower batch is handled nothing is read ahead, as another consumer may be idle."""

MAX_BYTES = 16 * 1024 * 1024
"""About how many bytes a read should return, judging by earlier reads."""

NOTHING = Arrived([])
"""The result of a read that found no entries."""

_FIRST_ENTRIES = 4
"""Number of entries the first read asks for, while their size is unknown."""


class ReadSize:
    """
    Learn from each read how many records and bytes an entry holds, and decide how many to ask for.

    Args:
        records: Maximum records in a batch.
        an_entry: Maximum records in an entry, if known before the first read; 0 if each entry holds one and
            every read is to ask for a whole batch.
        size: Bytes from which a batch counts as full; 0 for no limit.
        quickly: Maximum records in a batch as long as so many are handled quickly.
    """

    def __init__(self, records: int, an_entry: int = 0, size: int = 0, quickly: int = 0) -> None:
        self.records = self._least = records
        self._many = quickly
        self._size = size
        self._learns = an_entry > 0
        self._an_entry = float(max(an_entry, 1))
        # A pack is limited in bytes; a single record, from any producer, is not.
        self._bytes = MAX_BYTES / _FIRST_ENTRIES if an_entry == 1 else 0.0
        self.entries = records
        """How many entries to ask for."""
        self.handling_records = 0
        """Records of the batch that was handed out last."""
        self.handling_seconds = QUICK
        """Seconds that it took to handle."""
        self.learn(NOTHING)

    def more(self, batch: Arrived) -> int:
        """Return how many entries to request beyond those of a batch; 0 if it is full."""
        count, records = len(batch.entries), self.records - batch.records
        if records <= 0 or count >= MAX_ENTRIES or (self._size and batch.size >= self._size):
            return 0
        if not self._learns:
            return records
        most = max(1, int(records / max(1.0, batch.records / count)))
        return min(most, self.entries, MAX_ENTRIES - count)

    def learn(self, brought: Arrived) -> None:
        """
        Adjust how much to ask for to the result of a read, and to how long the last batch took.

        Larger entries than before count at once, smaller ones only gradually. If a large batch would be
        handled quickly, batches are large.
        """
        if self._many > self._least:
            is_quick = self.handling_seconds * self._many < QUICK * self.handling_records
            self.records = self._many if is_quick else self._least
        if self._learns:
            if count := len(brought.entries):
                self._an_entry = max(brought.records / count, self._an_entry / 4)
                self._bytes = max(brought.size / count, self._bytes / 4)
            most = self.records / self._an_entry
            if self._bytes:
                most = min(most, MAX_BYTES / self._bytes)
            self.entries = max(1, min(self.records, MAX_ENTRIES, int(most)))
