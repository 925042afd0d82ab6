"""Source `jsonl`: one JSON object a line, from files or standard input."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from rsq_pipe.sources.broken import broken, overlong, rest_of_line
from rsq_pipe.sources.chunking import chunked
from rsq_pipe.sources.files import Files
from rsq_pipe.sources.line_reader import LineReader
from rsq_pipe.sources.settings import ChunkBytes, Final, MaxLine, Paths
from rsq_pipe.sources.source import Arrival, Chunk
from rsq_pipe.sources.wording import wording
from rsq_pipe.streams.unique_keys import unique_keys

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Options(BaseModel):
    """Read one JSON object a line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Paths
    final: Final = None
    max_line: MaxLine = Field(default="1MiB", validate_default=True)
    chunk_bytes: ChunkBytes = Field(default="1MiB", validate_default=True)


def connect(options: Options, *, stage: str, root: Path) -> JsonlSource:
    """Make the source of a stage; nothing is opened yet."""
    return JsonlSource(options, stage=stage, root=root)


class JsonlSource:
    """Yield the objects of JSON Lines files; a line that is none becomes a broken arrival."""

    def __init__(self, options: Options, *, stage: str, root: Path) -> None:
        self._files = Files(
            options.path, root=root, stage=stage, max_line=options.max_line, final=options.final
        )
        self._chunk_bytes = options.chunk_bytes
        self.resumable = not self._files.from_stdin

    def shards(self) -> Sequence[str]:
        """Name the files, sorted."""
        return self._files.shards()

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:
        """Yield the lines behind `position`."""
        with self._files.opened(shard) as reader:
            reader.is_whole = _is_record
            if position:
                reader.resume(position)
            yield from chunked(_arrivals(shard, reader), reader, size, self._chunk_bytes)


def _arrivals(shard: str, reader: LineReader) -> Iterator[Arrival]:
    yield from rest_of_line(shard, reader)
    begins = reader.line == 0
    while line := reader.readline():
        if reader.overlong:
            yield overlong(shard, reader, reader.line, line, _hint(line) if begins else "")
            begins = False
            continue
        raw = line.strip()
        if not raw:
            continue
        try:
            yield Arrival(f"{shard}:{reader.line}", parse(raw), raw)
        except (ValueError, RecursionError, msgspec.DecodeError) as exc:
            yield broken(shard, reader, reader.line, line, wording(exc) + (_hint(raw) if begins else ""))
        begins = False


def _is_record(line: bytes) -> bool:
    """Tell whether a line is an object: then no line that begins with it can be another one."""
    try:
        parse(line.strip())
    except (ValueError, RecursionError, msgspec.DecodeError):
        return False
    return True


def _hint(raw: bytes) -> str:
    """Say what a file that begins like this most likely is."""
    if raw.startswith(b"["):
        return "; this looks like one JSON array: write one object a line (`jq -c '.[]'` does)"
    if raw == b"{":
        return "; this looks like objects of several lines: write each into one (`jq -c .` does)"
    return ""


def parse(raw: bytes) -> dict[str, Any]:
    """
    Read one JSON object.

    Raises:
        msgspec.DecodeError, ValueError, RecursionError: The bytes are not one JSON object, or not a
            clear one: a key stands in it twice, or a number is out of range.
    """
    record = _decode(raw)
    if type(record) is not dict:
        raise ValueError(f"not a JSON object but {_kind(record)}")
    # The parser lets the last of two equal keys win, in silence. A lost key is two quotes lost, and nothing
    # else changes their number, except a quote spelled \u0022: equal numbers prove that no key was lost.
    if raw.count(b'"') != _encode(record).count(b'"') or b"\\u0022" in raw:
        json.loads(raw, object_pairs_hook=unique_keys)
    return record


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
