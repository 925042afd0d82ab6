"""Record ids: the only place that makes and parses them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

SHOWN = 200
"""Maximum characters of a record id in a log line or a message: producers may give an entry any id."""

_FURTHER = re.compile(r"(?:\.\d+|@[^@]+)*")  # the suffixes of children and branches
_WORD = re.compile(r"[A-Za-z0-9_-]{1,40}")


def record_id(origin: str, place: str) -> str:
    """
    Build the id of a record where it enters.

    Args:
        origin: The source stage, or the key of the stream to which it was pushed from outside.
        place: The offset in the source, or the entry id. Neither changes with attempts, replays or failovers.
    """
    return f"{origin}:{place}"


def record_ids(origins: Iterable[str], places: Iterable[str]) -> list[str]:
    """Build the ids of records where they enter, like `record_id`."""
    return [f"{origin}:{place}" for origin, place in zip(origins, places, strict=True)]


def child(rid: str, index: int) -> str:
    """Build the id of one of the records that a stage made from one."""
    return f"{rid}.{index}"


def children(rid: str, count: int) -> list[str]:
    """Build the ids of all records that a stage made from one, like `child`."""
    return [f"{rid}.{index}" for index in range(count)]


def branch(rid: str, name: str) -> str:
    """
    Build the id of a record where its branches meet, so that they can be distinguished.

    Args:
        rid: The id that both branches have.
        name: The stream of the branch; never only digits, so that no branch is taken for a child.
    """
    return f"{rid}@{name}"


def pair(left: str, right: str) -> str:
    """Build the id of the record that a join makes from two."""
    return f"{left}&{right}"


def is_family(rid: str, other: str) -> bool:
    """Return whether two ids belong to the same record, or to one made from the other."""
    longer, shorter = (rid, other) if len(rid) >= len(other) else (other, rid)
    return longer.startswith(shorter) and _FURTHER.fullmatch(longer, len(shorter)) is not None


def shown(rid: str) -> str:
    """Cut an id to a length that fits a log line."""
    return rid if len(rid) <= SHOWN else f"{rid[:SHOWN]}... ({len(rid):,} characters)"


def result_id(stage: str, window: str, group: Sequence[Any]) -> str:
    """
    Build the id of a result: the same records of the same window and group always give the same id.

    Args:
        stage: The stage that computed it.
        window: The window's start.
        group: The values that define the group; written out if they are plain words, otherwise as a digest.
    """
    words = [value for value in group if isinstance(value, str) and _WORD.fullmatch(value)]
    if len(words) < len(group):
        digest = blake2b(json.dumps(group, sort_keys=True).encode(), digest_size=16).hexdigest()
        return f"{stage}:{window}:~{digest}"
    return ":".join([stage, window, *words])
