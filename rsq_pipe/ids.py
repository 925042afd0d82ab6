"""Record ids: the one place that makes them, and reads what is in them."""

from __future__ import annotations

import re

SHOWN = 200
"""Characters of a record id in a log line or a message: who pushes an entry may give it any id."""

_FURTHER = re.compile(r"(?:\.\d+|@[^@]+)*")  # what children and branches add


def record_id(origin: str, place: str) -> str:
    """
    Name a record where it enters.

    Args:
        origin: The source stage, or the key of the stream it was pushed to from outside.
        place: The offset in the source, or the entry id. Neither changes with attempts, replays or failovers.
    """
    return f"{origin}:{place}"


def child(rid: str, index: int) -> str:
    """Name one of the records that a stage made of one."""
    return f"{rid}.{index}"


def children(rid: str, count: int) -> list[str]:
    """Name all the records that a stage made of one, as `child` does each."""
    return [f"{rid}.{index}" for index in range(count)]


def branch(rid: str, name: str) -> str:
    """
    Name a record where it meets another branch of itself, so that the two can be told apart.

    Args:
        rid: The id both came with.
        name: The stream it came by. It holds more than digits, so that no branch is taken for a child.
    """
    return f"{rid}@{name}"


def pair(left: str, right: str) -> str:
    """Name the record that a join makes of two."""
    return f"{left}&{right}"


def is_family(rid: str, other: str) -> bool:
    """Tell whether two ids are those of one record, or of one made of the other."""
    longer, shorter = (rid, other) if len(rid) >= len(other) else (other, rid)
    return longer.startswith(shorter) and _FURTHER.fullmatch(longer, len(shorter)) is not None


def shown(rid: str) -> str:
    """Cut an id to what a log line may hold."""
    return rid if len(rid) <= SHOWN else f"{rid[:SHOWN]}... ({len(rid):,} characters)"
