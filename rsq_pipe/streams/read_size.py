"""ReadSize: how many entries to ask for, so that about as many records come as a batch may hold."""

from __future__ import annotations

from collections.abc import Sequence

from rsq_pipe.streams.entry import PACK, RawEntry
from rsq_pipe.streams.settlement import MAX_ENTRIES

MAX_BYTES = 16 * 1024 * 1024
"""Bytes that one read is to bring, about, judged by the reads before."""

_CAUTION = 4
"""Entries of the first read where nothing is known of their size."""


class ReadSize:
    """
    Learn from each read how much an entry holds.

    Args:
        records: Records that a batch may hold.
        an_entry: Records that an entry holds, at most, as far as is known before the first read; 0 where each
            holds one and every read is to ask for a whole batch.
        size: Bytes from which on a batch is full, too; 0 for any.
    """

    def __init__(self, records: int, an_entry: int = 0, size: int = 0) -> None:
        self.records = records
        self._size = size
        self._learns = an_entry > 0
        self._an_entry = float(max(an_entry, 1))
        # A pack is bounded in bytes; a single record, of whoever wrote it, is not.
        self._bytes = MAX_BYTES / _CAUTION if an_entry == 1 else 0.0

    def entries(self) -> int:
        """Tell how many entries to ask for."""
        if not self._learns:
            return self.records
        most = self.records / self._an_entry
        if self._bytes:
            most = min(most, MAX_BYTES / self._bytes)
        return max(1, min(self.records, MAX_ENTRIES, int(most)))

    def more(self, batch: Sequence[RawEntry]) -> int:
        """Tell how many entries to ask for beside those of a batch; none where it is full."""
        held, size = sizes_of(batch)
        records = self.records - held
        if records <= 0 or len(batch) >= MAX_ENTRIES or (self._size and size >= self._size):
            return 0
        if not self._learns:
            return records
        most = max(1, int(records / max(1.0, held / len(batch))))
        return min(most, self.entries(), MAX_ENTRIES - len(batch))

    def learn(self, entries: Sequence[RawEntry]) -> tuple[int, int]:
        """
        Take note of what a read has brought: much is believed at once, little only little by little.

        Returns:
            How many records it brought, and how many bytes.
        """
        if not entries:
            return 0, 0
        records, size = sizes_of(entries)
        if self._learns:
            self._an_entry = max(records / len(entries), self._an_entry / 4)
            self._bytes = max(size / len(entries), self._bytes / 4)
        return records, size


# These go over every entry that is read; most hold one record in one or two fields.


def records_in(entries: Sequence[RawEntry]) -> int:
    """Count the records of some entries."""
    count = len(entries)
    for entry in entries:
        fields = entry[2]
        if len(fields) and fields[0] == PACK:
            count += entry.records - 1
    return count


def sizes_of(entries: Sequence[RawEntry]) -> tuple[int, int]:
    """Count the records of some entries, and the bytes of their values."""
    records = total = 0
    for entry in entries:
        fields = entry[2]
        if len(fields) == 2:
            records, total = records + 1, total + len(fields[1])
        else:
            records += entry.records if len(fields) and fields[0] == PACK else 1
            total += sum(map(len, fields[1::2]))
    return records, total


def first_of(entries: Sequence[RawEntry], records: int) -> int:
    """Tell how many of the first entries hold no more than so many records; one at least."""
    total = 0
    for count, entry in enumerate(entries):
        fields = entry[2]
        total += entry.records if len(fields) and fields[0] == PACK else 1
        if total > records:
            return min(max(count, 1), MAX_ENTRIES)
    return min(len(entries), MAX_ENTRIES)
