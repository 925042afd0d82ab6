"""Source: where records enter a pipeline; each source is one file beside this one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Arrival:
    """
    Hold one record as it came in.

    Args:
        offset: Where it stands in the source, unique and stable: `orders.jsonl:17`. The record id is
            the stage's name, a colon, and this.
        data: The record, or None where it could not be read.
        raw: The bytes as they stood in the source; kept where they are JSON already, or are broken.
        error: Why `raw` is not a record; such an arrival becomes a dead letter of the source stage.
        headers: Headers that came with it; where one has a name of the system's own, it is a dead letter.
    """

    offset: str
    data: dict[str, Any] | None
    raw: bytes = b""
    error: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """
    Hold some arrivals, and the position after them.

    Args:
        arrivals: In the order of the source.
        position: Where to go on; stored in the same step that stores the arrivals.
    """

    arrivals: Sequence[Arrival]
    position: str


class Source(Protocol):
    """
    Yield a source's records in order, from a position. Called from one thread at a time; may block.

    resumable: Whether a position means the same in another process (False for standard input).
    """

    resumable: bool

    def shards(self) -> Sequence[str]:
        """
        Name the parts that have a position of their own, in reading order: the files of a glob, say.

        Raises:
            SourceError: There is nothing to read, and that cannot be meant.
        """
        ...

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:
        """
        Yield what follows `position` (empty: from the start), at most `size` arrivals a chunk.

        Raises:
            SourceError: The shard is not what it was when `position` was stored.
        """
        ...
