"""Batch: the records that one handler call gets, in columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field

from rsq_pipe.model.delivery import Delivered
from rsq_pipe.model.record_ids import picked

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def _unknown(place: int) -> bytes:
    raise LookupError(f"the bytes of record {place} were not kept")


# Not frozen: its columns are filled in a loop. Columns rather than one object per record, because making
# such an object takes longer than most stages spend on the record.
class Batch(Struct):
    """
    Hold records and what is known of each, at the same index in every column.

    Args:
        records: The records that handlers get.
        rids: Record ids.
        origins: For each record, the place in `deliveries` of the entry it came in. Records of one pack share
            it; children that a stage made of a record have its origin.
        deliveries: The entries; none if a source brings the records.
        headers: Place -> headers other than the record id, for the few records that have any. Never changed
            in place: batches share them.
        attempts: Place -> how many handler calls have failed for this record, if any has.
        original: Returns the bytes of the record at a place as they came in, even if a handler has changed
            the record since: a retry and a dead letter carry these.
    """

    records: list[Any]
    rids: Sequence[str]
    origins: Sequence[int] = ()
    deliveries: Sequence[Delivered] = ()
    headers: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    attempts: Mapping[int, int] = field(default_factory=dict)
    original: Callable[[int], bytes] = _unknown

    def __post_init__(self) -> None:
        if not self.origins:
            self.origins = range(len(self.records)) if self.deliveries else [0] * len(self.records)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def knows_bytes(self) -> bool:
        """Whether `original` has bytes; asking for some may mean decoding a whole pack."""
        return self.original is not _unknown

    def headers_at(self, place: int) -> Mapping[str, str]:
        """Return a record's headers other than its id; do not change them."""
        return self.headers.get(place, NO_HEADERS)

    def attempts_at(self, place: int) -> int:
        """Return how many handler calls have failed for a record so far."""
        return self.attempts.get(place, 0)

    def delivery_at(self, place: int) -> Delivered | None:
        """Return the entry a record came in; None if a source has just read it."""
        return self.deliveries[self.origins[place]] if self.deliveries else None

    def only(self, places: Sequence[int]) -> Batch:
        """Return some of the records, in the order given, with the same deliveries."""
        original = self.original
        return Batch(
            [self.records[place] for place in places],
            picked(self.rids, places),
            [self.origins[place] for place in places],
            self.deliveries,
            taken(self.headers, places),
            taken(self.attempts, places),
            (lambda place: original(places[place])) if self.knows_bytes else original,
        )

    def slices(self, size: int) -> Iterator[tuple[int, Batch]]:
        """Yield the batch in parts of at most `size` records, each with the place where it begins."""
        if len(self) <= size:
            yield 0, self
            return
        for start in range(0, len(self), size):
            yield start, self.only(range(start, min(start + size, len(self))))


def taken(sparse: Mapping[int, Any], places: Sequence[int]) -> dict[int, Any]:
    """Return a sparse column's values at some places, keyed by their index in `places`."""
    if not sparse:
        return {}
    return {new: sparse[old] for new, old in enumerate(places) if old in sparse}
