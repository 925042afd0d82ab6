"""Rows: lists of values made into dicts, as fast as Python can."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

MOST_NAMES = 250
"""Fields of a dict that is spelled out; the compiler takes its time over longer ones."""

KEPT = 256
"""Shapes of records that are remembered."""

Maker: TypeAlias = Callable[[Iterable[Sequence[Any]]], list[dict[str, Any]]]


def made(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """
    Make a dict of each row.

    Raises:
        ValueError: A row has more or fewer values than there are names, or a name is no text.
    """
    return maker(tuple(names))(rows)


@lru_cache(maxsize=KEPT)
def maker(names: tuple[str, ...]) -> Maker:
    """Make the function that makes dicts of rows with these names, all of them text."""
    if not all(type(name) is str for name in names):
        raise ValueError("a name of a field is no text")
    if not 0 < len(names) <= MOST_NAMES or len(set(names)) < len(names):
        return lambda rows: [dict(zip(names, row, strict=True)) for row in rows]
    # A dict spelled out, {"a": v0, "b": v1}, is made in little more than half the time of dict(zip(...)).
    values = [f"v{place}" for place in range(len(names))]
    pairs = ", ".join(f"{name!r}: {value}" for name, value in zip(names, values, strict=True))
    spelled = f"lambda rows: [{{{pairs}}} for {', '.join(values)}, in rows]"
    function: Maker = eval(spelled)  # noqa: S307  the names are spelled as literals, nothing else is theirs
    return function
