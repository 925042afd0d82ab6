"""RecordIds: the ids of many records, which begin alike; each is put together when it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os.path import commonprefix
from typing import overload


class RecordIds(Sequence[str]):
    """
    Hold ids as the beginning that they have in common, and the rest of each.

    Most are only passed on from one pack to the next, where they are in this form: no text is made of them.

    Args:
        prefix: The common beginning.
        rests: What follows it in each id; owned by this instance from now on.
    """

    __slots__ = ("prefix", "rests")

    def __init__(self, prefix: str, rests: list[str]) -> None:
        self.prefix = prefix
        self.rests = rests

    @classmethod
    def of(cls, rids: Sequence[str]) -> RecordIds:
        """Find the longest beginning of ids, of which there is at least one."""
        prefix = commonprefix([min(rids), max(rids)])  # noqa: RUF071  texts, no paths
        return cls(prefix, [rid[len(prefix) :] for rid in rids] if prefix else [*rids])

    def __len__(self) -> int:
        return len(self.rests)

    def __iter__(self) -> Iterator[str]:
        prefix = self.prefix
        return iter([prefix + rest for rest in self.rests])

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> RecordIds: ...
    def __getitem__(self, place: int | slice) -> str | RecordIds:
        if isinstance(place, slice):
            return RecordIds(self.prefix, self.rests[place])
        return self.prefix + self.rests[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and [*self] == [*other]

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __repr__(self) -> str:
        return repr([*self])


def prefixed(prefix: str, rids: Sequence[str]) -> RecordIds:
    """Put the same text before all ids."""
    if isinstance(rids, RecordIds):
        return RecordIds(prefix + rids.prefix, rids.rests)
    return RecordIds(prefix, [*rids])


def picked(rids: Sequence[str], places: Sequence[int]) -> Sequence[str]:
    """Return the ids at some places."""
    if isinstance(rids, RecordIds):
        rests = rids.rests
        return RecordIds(rids.prefix, [rests[place] for place in places])
    return [rids[place] for place in places]


def joined_ids(rids: Sequence[str], more: Sequence[str]) -> Sequence[str]:
    """Append ids to others, which may be changed; in the form of `RecordIds` if both begin alike."""
    if not rids:
        return more if isinstance(more, RecordIds) else [*more]
    if isinstance(rids, RecordIds) and isinstance(more, RecordIds) and rids.prefix == more.prefix:
        rids.rests += more.rests
        return rids
    whole: list[str] = rids if isinstance(rids, list) else [*rids]
    whole.extend(more)
    return whole
