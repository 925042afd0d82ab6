"""Chunking: collects records into chunks, each with the position after it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from rsq_pipe.connectors.files.line_reader import LineReader
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.errors import SourceError
from rsq_pipe.model.record_ids import RecordIds, joined_ids
from rsq_pipe.model.row_records import joined

_MOST, _FEW = 4096, 16  # how many lines are tried at once
_LONGEST_PAUSE = 512  # how many records are read one by one before many lines are tried again
_WORTH = 4  # lines; looking for fewer takes longer than reading them one by one


class Block(Struct, frozen=True):
    """
    Hold the records of the first lines of the available input.

    Args:
        records: The records.
        lines: For each record the line it begins in, counted from 0.
        size: Bytes of all lines that were read, including blank ones.
        count: Lines that were read. The next one is not a record, or not a simple one: it is read singly.
        raws: The bytes of each record, if they are kept.
    """

    records: Sequence[dict[str, Any]]
    lines: Sequence[int]
    size: int
    count: int
    raws: Sequence[bytes] = ()


ReadBlock: TypeAlias = Callable[[bytes], Block]
"""Reads as many whole lines, from the first on, as can be read at once, with the same result as singly."""


def nothing(_: bytes) -> Block:
    """Read nothing at once, so that everything is read singly."""
    return Block([], (), 0, 0)


def chunked(
    shard: str, reader: LineReader, careful: Iterator[Arrival], at_once: ReadBlock, *, size: int, limit: int
) -> Iterator[Chunk]:
    """
    Collect records into chunks: many lines at once if they are simple, the others one by one.

    Args:
        shard: The prefix of offsets.
        reader: The file.
        careful: Reads the next items in `reader` one by one, without reading ahead: the reader is left right
            after each.
        at_once: Reads simple lines, with the same results.
        size: Maximum records in a chunk, including broken ones.
        limit: Bytes of input after which a chunk ends, even if it holds fewer records.

    Raises:
        SourceError: The reader cannot continue, or the file was altered while it was read; earlier records
            have been yielded.
    """
    pending, pace = _Pending(shard), _Pace()
    begin = end = (reader.offset, reader.line)
    try:
        while True:
            lines = pace.lines(size - len(pending))
            data = reader.whole_lines(lines, limit - (end[0] - begin[0])) if lines else b""
            if data:
                block = at_once(data)
                pace.read(block.count, whole=block.size == len(data))
                pending.add_block(block, reader.line + 1)
                reader.pass_over(block.size, block.count)
            elif (arrival := next(careful, None)) is not None:
                pending.add(arrival)
            else:
                break
            end = (reader.offset, reader.line)
            if not pending:
                begin = end
            # Data from a pipe are passed on at once: its writer may take an hour for the next line.
            elif len(pending) >= size or end[0] - begin[0] >= limit or not reader.has_more():
                yield pending.chunk(reader.position(*end))
                pending, begin = _Pending(shard), end
                reader.check()
    except SourceError:
        if pending:
            yield pending.chunk(reader.position(*end))
        raise
    if pending:
        yield pending.chunk(reader.position(*end))
    reader.check()
    if reader.held and not reader.followed:
        reader.log("warning", "the last line has no newline yet, and is left to a later run (`final: false`)")


class _Pace:
    """Decide how many lines to try at once: if few of them are simple, trying many is wasted work."""

    def __init__(self) -> None:
        self._lines = _MOST
        self._one_by_one = 0
        self._pause = _FEW

    def lines(self, room: int) -> int:
        """Return how many lines to try; none if the next record has to be read singly."""
        if self._one_by_one:
            self._one_by_one -= 1
            return 0
        return min(room, self._lines) if room >= _WORTH else 0

    def read(self, count: int, *, whole: bool) -> None:
        """Adapt to how many lines could be read at once, and whether those were all that were tried."""
        if whole:
            self._lines = min(self._lines * 2, _MOST)
        else:
            self._lines = max(count, _FEW)
        if whole or count >= _FEW:
            self._one_by_one, self._pause = int(not whole), _FEW
        else:
            self._one_by_one, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE)


class _Pending:
    """Collect what makes up a chunk."""

    def __init__(self, shard: str) -> None:
        self._shard = shard
        self._records: Sequence[dict[str, Any]] = []
        self._offsets: Sequence[str] = []
        self._broken: list[tuple[int, Arrival]] = []
        self._raws = _Raws()

    def __len__(self) -> int:
        return len(self._records) + len(self._broken)

    def add(self, arrival: Arrival) -> None:
        """Add an item that was read singly."""
        if arrival.data is None:
            self._broken.append((len(self._records), arrival))
            return
        if arrival.raw:
            self._raws.add(len(self._records), [arrival.raw])
        self._records = joined(self._records, (arrival.data,))
        self._offsets = joined_ids(self._offsets, [arrival.offset])

    def add_block(self, block: Block, line: int) -> None:
        """Add a block that was read at once, from `line` on."""
        if block.raws:
            self._raws.add(len(self._records), block.raws)
        self._records = joined(self._records, block.records)
        shard, lines = self._shard, block.lines
        numbers = range(line, line + len(lines)) if isinstance(lines, range) else [line + n for n in lines]
        self._offsets = joined_ids(self._offsets, RecordIds(f"{shard}:", [*map(str, numbers)]))

    def chunk(self, position: str) -> Chunk:
        """Make the chunk."""
        return Chunk(self._records, self._offsets, position, self._broken, self._raws)


class _Raws:
    """Find the bytes of a record in those of the blocks of a chunk."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._blocks: list[Sequence[bytes]] = []

    def add(self, start: int, raws: Sequence[bytes]) -> None:
        self._starts.append(start)
        self._blocks.append(raws)

    def __call__(self, place: int) -> bytes:
        found = bisect_right(self._starts, place) - 1
        return self._blocks[found][place - self._starts[found]] if found >= 0 else b""
