"""Broken arrivals: parts of a file that are not a record, with the place and the reason."""

from __future__ import annotations

from collections.abc import Iterator

from rsq_pipe.connectors.files.line_reader import LineReader
from rsq_pipe.connectors.source import Arrival

KEPT_OF_OVERLONG = 64 * 1024


def broken(shard: str, reader: LineReader, line: int, raw: bytes, why: str) -> Arrival:
    """Make the arrival for an item that begins in `line` and cannot be read; its bytes stay unchanged."""
    return Arrival(f"{shard}:{line}", None, raw.rstrip(b"\r\n"), f"{reader.name}:{line}: {why}")


def overlong(shard: str, reader: LineReader, line: int, raw: bytes, hint: str = "") -> Arrival:
    """Make the arrival for a line of which only the beginning is kept."""
    kept = raw[:KEPT_OF_OVERLONG]
    why = f"the line is longer than max_line ({reader.max_line} bytes); its first {len(kept)} bytes are kept"
    return broken(shard, reader, line, kept, why + hint)


def rest_of_line(shard: str, reader: LineReader) -> Iterator[Arrival]:
    """
    Yield bytes added to a last line after it had been read: a broken arrival, never a record.

    The line counted as whole when the file ended with it. Its rest gets an offset of its own, `17+1402` (line
    and byte), so that the two do not share a record id.
    """
    if not reader.inside_line:
        return
    reader.inside_line = False
    begin = reader.offset
    rest = reader.readline()[:KEPT_OF_OVERLONG]
    if rest:
        reader.line -= 1
    if rest.strip():
        error = f"{reader.name}:{reader.line}: the line went on after it had been read; this is its rest"
        yield Arrival(f"{shard}:{reader.line}+{begin}", None, rest.rstrip(b"\r\n"), error)
