"""Partials: intermediate values of a group until its window or session closes, mergeable in any order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack
from msgspec import Struct

from rsq_pipe.model import distinct, exact_sum, extreme, sketch


class Kind(Struct, frozen=True):
    """
    Describe one kind of partial.

    Args:
        letter: Its name in merge.lua.
        merge: Combines two into one.
    """

    letter: str
    merge: Callable[[Any, Any], Any]


def _add(one: int, other: int) -> int:
    return one + other


KINDS: Mapping[str, Kind] = {
    "count": Kind("c", _add),
    "sum": Kind("s", exact_sum.merged_sum),
    "least": Kind("n", extreme.merged_least),
    "greatest": Kind("x", extreme.merged_greatest),
    "first": Kind("f", extreme.merged_first),
    "last": Kind("l", extreme.merged_last),
    "sketch": Kind("q", sketch.merged_sketch),
    "distinct": Kind("d", distinct.merged_distinct),
}


def letters(kinds: Sequence[str]) -> str:
    """Encode kinds for merge.lua."""
    return "".join(KINDS[kind].letter for kind in kinds)


def packed(partials: Sequence[Any]) -> bytes:
    """Encode the partials of one group."""
    raw: bytes = msgpack.packb(partials, use_bin_type=False)
    return raw


def unpacked(raw: bytes) -> list[Any]:
    """Decode the partials of one group; text in them is bytes."""
    found: list[Any] = msgpack.unpackb(raw, raw=True)
    return found


def merged(kinds: Sequence[str], one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    """Combine two sets of partials of one group; merge.lua does the same."""
    return [KINDS[kind].merge(a, b) for kind, a, b in zip(kinds, one, other, strict=True)]


# The sessions of a group are [[first, last, partial...]...], ordered by time, with at least the gap between
# any two. They merge as intervals do, so the order of merging does not matter.


def apart(times: Sequence[int], places: Sequence[int], gap: int) -> list[list[int]]:
    """Sort the places of records into sessions."""
    found: list[list[int]] = []
    last = 0
    for place in sorted(places, key=times.__getitem__):
        at = times[place]
        if not found or at - last >= gap:
            found.append([])
        found[-1].append(place)
        last = at
    return found


def merged_sessions(kinds: Sequence[str], gap: int, one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    """Combine two lists of a group's sessions into one; merge.lua does the same."""
    found: list[Any] = []
    for first, last, *partials in sorted([*one, *other], key=lambda session: session[0]):
        if found and first - found[-1][1] < gap:
            before = found[-1]
            before[1] = max(before[1], last)
            before[2:] = merged(kinds, before[2:], partials)
        else:
            found.append([first, last, *partials])
    return found
