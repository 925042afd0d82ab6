"""
Source: where records enter a pipeline; each source is one file beside this one.

Its module has `Options`, `connect(options, *, stage, root)`, and `endpoint(options, *, stage, root)`, by
which `rsq-pipe validate --connect` tries whether there is something to read: see `connectors/endpoint.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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


def _none(_: int) -> bytes:
    return b""


@dataclass(slots=True)
class Chunk:
    """
    Hold what was read together, in columns, and the position after it.

    Args:
        records: The records, in the order of the source.
        offsets: Where each of them stands, as in Arrival.
        position: Where to go on; stored in the same step that stores the records.
        broken: What is no record, each with the number of records that stand before it.
        raw: Tells the bytes of the record at a place, where the source has them as JSON; else nothing.
        headers: Place -> headers that came with a record, of those that have any.
        settled: Told whether the chunk is stored, where somebody waits for that; not called for a chunk that
            the end of the run left unstored. Called from the event loop; must not block.
    """

    records: list[dict[str, Any]]
    offsets: Sequence[str]
    position: str
    broken: Sequence[tuple[int, Arrival]] = ()
    raw: Callable[[int], bytes] = _none
    headers: Mapping[int, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    settled: Callable[[bool], None] | None = None

    @classmethod
    def of(cls, arrivals: Iterable[Arrival], position: str) -> Chunk:
        """Make a chunk of arrivals that came one by one."""
        chunk = cls([], offsets := [], position, broken := [])
        raws: list[bytes] = []
        headers: dict[int, tuple[tuple[str, str], ...]] = {}
        for arrival in arrivals:
            if arrival.data is None:
                broken.append((len(raws), arrival))
                continue
            if arrival.headers:
                headers[len(raws)] = arrival.headers
            chunk.records.append(arrival.data)
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

    A source may have a `close()`; it is called when the last chunk has been stored, and may block.

    resumable: Whether a position means the same in another process (False for standard input).

    A source that does not end with what is there has two more: `endless`, which is True, and `changed()`,
    which names the shards that have something new since they were named; it is asked again and again.

    A source whose shards may be read at once, each in a process of its own, has more: `shared`, which is
    True; `endless`, which may be False; `ending()`, which gives a source of the same that ends with what is
    there; and `began(shards)`, which is told the shards there were when it was read for the first time; their
    names hold no blanks. `read` is called from one thread for each shard, `close(shard)` ends the reading of
    one, and `shards()` is asked again and again: what it names later is read as well.

    One that leaves its mark where it reads has a `preview()`, which gives a source of first records that does
    not, and ends.

    One that knows how much there is has a `share()`: how much of it has been read, 0 to 1, or None where that
    cannot be told. It is called from the event loop while another thread reads, and must not block.
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
