"""Sessions: windows that last as long as records of a group follow one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rsq_pipe.model.partials import merged

# The sessions of a group are [[first, last, partial...]...], in order of time, with at least the gap between
# any two. Merging is that of intervals, so its order does not matter.


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
    """Make the sessions of a group of two lists of them; merge.lua does the same."""
    found: list[Any] = []
    for first, last, *partials in sorted([*one, *other], key=lambda session: session[0]):
        if found and first - found[-1][1] < gap:
            before = found[-1]
            before[1] = max(before[1], last)
            before[2:] = merged(kinds, before[2:], partials)
        else:
            found.append([first, last, *partials])
    return found
