"""
Source: where records enter a pipeline; each source is one file beside this one.

Its module has `Options`, `connect(options, *, stage, root)`, and `endpoint(options, *, stage, root)`, by
which `rsq-pipe validate --connect` tries whether there is something to read: see `connectors/endpoint.py`.

Every source is a `Source`. What else one may offer stands below it, each in a protocol of its own: a source
that has what a protocol names is used so, and declares nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


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


def _none(_: int) -> bytes:
    return b""


@dataclass(slots=True)
class Chunk:
    """
    Hold what was read together, in columns, and the position after it.

    Args:
        records: The records, in the order of the source; as `RowRecords` where they come so.
        offsets: Where each of them stands, as in Arrival.
        position: Where to go on; stored in the same step that stores the records.
        broken: What is no record, each with the number of records that stand before it.
        raw: Tells the bytes of the record at a place, where the source has them as JSON; else nothing.
        headers: Place -> headers that came with a record, of those that have any.
        settled: Told whether the chunk is stored, where somebody waits for that; not called for a chunk that
            the end of the run left unstored. Called from the event loop; must not block.
    """

    records: Sequence[dict[str, Any]]
    offsets: Sequence[str]
    position: str
    broken: Sequence[tuple[int, Arrival]] = ()
    raw: Callable[[int], bytes] = _none
    headers: Mapping[int, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    settled: Callable[[bool], None] | None = None

    @classmethod
    def of(cls, arrivals: Iterable[Arrival], position: str) -> Chunk:
        """Make a chunk of arrivals that came one by one."""
        chunk = cls(records := [], offsets := [], position, broken := [])
        raws: list[bytes] = []
        headers: dict[int, tuple[tuple[str, str], ...]] = {}
        for arrival in arrivals:
            if arrival.data is None:
                broken.append((len(raws), arrival))
                continue
            if arrival.headers:
                headers[len(raws)] = arrival.headers
            records.append(arrival.data)
            offsets.append(arrival.offset)
            raws.append(arrival.raw)
        chunk.raw, chunk.headers = raws.__getitem__, headers
        return chunk

    def __len__(self) -> int:
        return len(self.records) + len(self.broken)

    @property
    def arrivals(self) -> list[Arrival]:
        """Everything in the chunk one by one, in the order of the source."""
        whole = [
            Arrival(offset, record, self.raw(place), headers=self.headers.get(place, ()))
            for place, (offset, record) in enumerate(zip(self.offsets, self.records, strict=True))
        ]
        for place, arrival in reversed(self.broken):
            whole.insert(place, arrival)
        return whole


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
        Yield what follows `position` (empty: from the start), at most `size` a chunk, broken ones too.

        Raises:
            SourceError: The shard is not what it was when `position` was stored.
        """
        ...


PREVIEW = 5.0
"""Seconds that a preview waits for a server that is away, at most."""


@runtime_checkable
class ClosableSource(Protocol):
    """A source that holds something open, or waits for something."""

    def close(self) -> None:
        """Let go; called when the last chunk has been stored. May block."""
        ...


@runtime_checkable
class EndlessSource(Protocol):
    """A source that may go on when it has read what is there."""

    @property
    def endless(self) -> bool:
        """Whether it does."""
        ...

    def changed(self) -> Sequence[str]:
        """Name the shards that have something new since they were named; asked again and again."""
        ...


@runtime_checkable
class SharedSource(Source, Protocol):
    """
    A source whose shards may be read at once, each in a process of its own.

    `read` is called from one thread for each shard, and `shards` again and again: what it names later is read
    as well. The names of shards hold no blanks.
    """

    @property
    def endless(self) -> bool:
        """Whether it goes on when it has read what is there."""
        ...

    def ending(self) -> Source:
        """Give a source of the same that ends with what is there."""
        ...

    def began(self, shards: Sequence[str]) -> None:
        """Take note of the shards there were when it was read for the first time, in whatever process."""
        ...

    def close(self, shard: str) -> None:
        """End the reading of one shard."""
        ...


@runtime_checkable
class PreviewedSource(Protocol):
    """A source that leaves its mark where it reads, or waits for long."""

    def preview(self) -> Source:
        """Give a source of its first records that does neither, and ends."""
        ...


@runtime_checkable
class MeasuredSource(Protocol):
    """A source that knows how much there is."""

    def share(self) -> float | None:
        """
        Tell how much of it has been read, 0 to 1; None where that cannot be told.

        Called from the event loop while another thread reads: must not block.
        """
        ...
