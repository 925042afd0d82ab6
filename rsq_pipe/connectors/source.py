"""
Source: the protocols of sources, where records enter a pipeline; each source is one file next to this one.

Its module has `Options`, `connect(options, *, stage, root)`, and `endpoint(options, *, stage, root)`, with
which `rsq-pipe validate --connect` tests whether there is something to read: see `connectors/endpoint.py`.

Every source is a `Source`. What else one may offer follows, each in its own protocol: a source that has
the members of a protocol is used accordingly, and declares nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct, field


class Arrival(Struct, frozen=True):
    """
    Hold one record as it came in.

    Args:
        offset: Where it is in the source, unique and stable: `orders.jsonl:17`. The record id is
            the stage's name, a colon, and this.
        data: The record, or None if it could not be read.
        raw: The bytes as they were in the source; kept if they are JSON already, or are broken.
        error: Why `raw` is not a record; such an arrival becomes a dead letter of the source stage.
        headers: Headers that came with it; if one has a name of the system's own, it becomes a dead letter.
    """

    offset: str
    data: dict[str, Any] | None
    raw: bytes = b""
    error: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def _none(_: int) -> bytes:
    return b""


class Chunk(Struct):
    """
    Hold items that were read together, in columns, and the position after them.

    Args:
        records: The records, in the order of the source; as `RowRecords` if they come in that form.
        offsets: Where each of them is, as in Arrival.
        position: Where to continue; stored in the same step that stores the records.
        broken: Items that are not records, each with the number of records before it.
        raw: Returns the bytes of the record at a place, if the source has them as JSON; otherwise nothing.
        headers: Place -> headers that came with a record, for those that have any.
        settled: Called with whether the chunk is stored; not called for a chunk that the end of the run left
            unstored. Called from the event loop; must not block.
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
        """Make a chunk from arrivals that came one by one."""
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
        """All items of the chunk one by one, in the order of the source."""
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

    Attributes:
        resumable: Whether a position means the same in another process (False for standard input).
    """

    resumable: bool

    def shards(self) -> Sequence[str]:
        """
        Name the parts that have their own position, in reading order, such as the files of a glob.

        Raises:
            SourceError: There is nothing to read, which cannot be intended.
        """
        ...

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:
        """
        Yield records after `position` (empty: from the start), at most `size` per chunk with broken ones.

        Raises:
            SourceError: The shard has changed since `position` was stored.
        """
        ...


PREVIEW = 5.0
"""Maximum seconds that a preview waits for an unreachable server."""


@runtime_checkable
class ClosableSource(Protocol):
    """A source that has open resources, or waits."""

    def close(self) -> None:
        """Release everything; called when the last chunk has been stored. May block."""
        ...


@runtime_checkable
class EndlessSource(Protocol):
    """A source that may continue after it has read everything."""

    @property
    def endless(self) -> bool:
        """Whether the source continues after it has read everything."""
        ...

    def changed(self) -> Sequence[str]:
        """Name the shards that have something new since they were last named; called repeatedly."""
        ...

    def is_gone(self, shard: str) -> bool:
        """Return whether a shard that cannot be read was removed, as far as that is known."""
        ...


@runtime_checkable
class SharedSource(Source, Protocol):
    """
    A source whose shards may be read at the same time, each in its own process.

    `read` is called from one thread for each shard, and `shards` repeatedly: shards it names later are read
    as well. The names of shards contain no blanks.
    """

    @property
    def endless(self) -> bool:
        """Whether the source continues after it has read everything."""
        ...

    def ending(self) -> Source:
        """Return a copy of the source that ends with the data that exist now."""
        ...

    def began(self, shards: Sequence[str]) -> None:
        """Note the shards that existed when it was read for the first time, by any process."""
        ...

    def close(self, shard: str = "") -> None:
        """End the reading of one shard; of all, and a wait in `shards`, if none is named."""
        ...


@runtime_checkable
class PreviewedSource(Protocol):
    """A source that changes something where it reads, or waits for long."""

    def preview(self) -> Source:
        """Return a source of its first records that does neither, and ends."""
        ...


@runtime_checkable
class MeasuredSource(Protocol):
    """A source that knows how much there is to read."""

    def share(self) -> float | None:
        """
        Return how much of it has been read, 0 to 1; None if unknown.

        Called from the event loop while another thread reads: must not block.
        """
        ...
