"""Originals: the encoded bytes of records as they came in."""

from __future__ import annotations

from collections.abc import Sequence

from rsq_pipe.model.pack import Packs
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.serializers import Serializer


class Originals:
    """Return the bytes of a record as it came in; for a record of a pack, the pack is decoded again."""

    def __init__(
        self,
        entries: Sequence[RawEntry],
        starts: Sequence[int],
        origins: Sequence[int],
        packs: Packs,
        serializer: Serializer,
    ) -> None:
        self.entries = entries
        self._starts = starts
        self._origins = origins
        self._packs = packs
        self._serializer = serializer
        self._known: dict[int, Sequence[dict[str, object]]] = {}

    def __call__(self, place: int) -> bytes:
        origin = self._origins[place]
        entry = self.entries[origin]
        if not entry.is_pack:
            return entry.data
        if origin not in self._known:
            self._known[origin] = self._packs.decode(entry.data).records
        return self._serializer.encode(self._known[origin][place - self._starts[origin]])
