"""Chunking: arrivals gathered into chunks, each with the position behind it."""

from __future__ import annotations

from collections.abc import Iterator

from rsq_pipe.errors import SourceError
from rsq_pipe.sources.line_reader import LineReader
from rsq_pipe.sources.source import Arrival, Chunk


def chunked(arrivals: Iterator[Arrival], reader: LineReader, size: int, limit: int) -> Iterator[Chunk]:
    """
    Gather arrivals into chunks.

    Args:
        arrivals: Made from what `reader` yields, never reading ahead: the reader stands behind the last one.
        size: Arrivals in a chunk, at most.
        limit: Bytes of input after which a chunk ends, even if it holds fewer arrivals.

    Raises:
        SourceError: The reader cannot go on, or the file was altered while it was read; what arrived before
            has been yielded.
    """
    pending: list[Arrival] = []
    begin = end = (reader.offset, reader.line)
    try:
        for arrival in arrivals:
            pending.append(arrival)
            end = (reader.offset, reader.line)
            # What a pipe has brought goes on at once: its writer may take an hour over the next line.
            if len(pending) >= size or end[0] - begin[0] >= limit or not reader.has_more():
                yield Chunk(pending, reader.position(*end))
                pending, begin = [], end
                reader.check()
    except SourceError:
        if pending:
            yield Chunk(pending, reader.position(*end))
        raise
    if pending:
        yield Chunk(pending, reader.position(*end))
    reader.check()
    if reader.held:
        reader.tell(
            "warning", "the last line has no newline yet, and is left to a later run (`final: false`)"
        )
