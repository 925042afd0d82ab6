"""Field path: the place of a field in a record, `customer.name`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

FieldPath: TypeAlias = tuple[str, ...]
"""The names from the top of a record to a field."""

MAX_PARTS = 20

_DOT = re.compile(r"(?<!\\)\.")


def parse_path(text: str) -> FieldPath:
    r"""
    Parse a path.

    Args:
        text: Names with dots between them; `\.` is a dot in a name.

    Raises:
        ValueError: A name is empty, or there are too many.
    """
    parts = tuple(part.replace(r"\.", ".") for part in _DOT.split(text))
    if not all(parts):
        raise ValueError(f"{text!r} is not a field: a name in it is empty; write `\\.` for a dot in a name")
    if len(parts) > MAX_PARTS:
        raise ValueError(f"{text[:40]!r}... has {len(parts):,} names; a path has at most {MAX_PARTS}")
    return parts


def spell_path(path: FieldPath) -> str:
    """Format a path as written in a file."""
    return ".".join(part.replace(".", r"\.") for part in path)


def clash(paths: Sequence[FieldPath]) -> tuple[int, int] | None:
    """
    Find two fields that are the same, or of which one contains the other.

    Returns:
        Their places, ascending; None if no field contains another.
    """
    # In sorted order a path is followed by those inside it.
    order = sorted(range(len(paths)), key=paths.__getitem__)
    for one, other in pairwise(order):
        if paths[other][: len(paths[one])] == paths[one]:
            return min(one, other), max(one, other)
    return None


def clash_text(one: FieldPath, other: FieldPath) -> str:
    """Describe the mistake of two fields that clash."""
    if one == other:
        return f"field {spell_path(one)!r} appears twice"
    outer, inner = sorted((one, other), key=len)
    return f"field {spell_path(inner)!r} is a part of {spell_path(outer)!r}, which is also listed"
