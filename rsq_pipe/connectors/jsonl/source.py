"""Source `jsonl`: one JSON object per line, from files or standard input."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.files.broken import broken, overlong, rest_of_line
from rsq_pipe.connectors.files.chunking import chunked
from rsq_pipe.connectors.files.endpoints import readable
from rsq_pipe.connectors.files.files import Files, FileSource
from rsq_pipe.connectors.files.line_reader import LineReader
from rsq_pipe.connectors.files.read_settings import (
    ChunkBytes,
    Final,
    Follow,
    MaxLine,
    Paths,
    Watch,
    check_endless,
)
from rsq_pipe.connectors.jsonl.block import ObjectsAtOnce
from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.connectors.wording import wording


class Options(Settings):
    """Read one JSON object a line."""

    path: Paths
    final: Final = None
    follow: Follow = False
    watch: Watch = False
    max_line: MaxLine = Field(default="1MiB", validate_default=True)
    chunk_bytes: ChunkBytes = Field(default="1MiB", validate_default=True)

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_endless(self.path, follow=self.follow, watch=self.watch)
        return self


_PYTHON = re.compile(rb"\{\s*'")
_NOT_A_NUMBER = re.compile(rb"[:\[,]\s*(NaN|-?Infinity)\s*[,\]}]")


def connect(options: Options, *, stage: str, root: Path) -> JsonlSource:
    """Make the source of a stage; nothing is opened yet."""
    return JsonlSource(options, stage=stage, root=root)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:
    """Return its files as an endpoint."""
    return readable(options.path, stage=stage, root=root, watch=options.watch)


class JsonlSource(FileSource):
    """Yield the objects of JSON Lines files; a line that is not one becomes a broken arrival."""

    def __init__(self, options: Options, *, stage: str, root: Path) -> None:
        super().__init__(
            Files(
                options.path,
                root=root,
                stage=stage,
                max_line=options.max_line,
                final=options.final,
                follow=options.follow,
                watch=options.watch,
            )
        )
        self._chunk_bytes = options.chunk_bytes

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:
        """Yield the lines after `position`."""
        with self._files.opened(shard) as reader:
            reader.is_whole = _is_record
            if position:
                reader.resume(position)
            yield from chunked(
                shard,
                reader,
                _arrivals(shard, reader),
                ObjectsAtOnce(),
                size=size,
                limit=self._chunk_bytes,
            )


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
        except UNREADABLE as exc:
            why = wording(exc) + (_slip(raw) or (_hint(raw) if begins else ""))
            yield broken(shard, reader, reader.line, line, why)
        begins = False


def _is_record(line: bytes) -> bool:
    """Return whether a line is an object: if so, no line that begins with it can be another object."""
    try:
        parse(line.strip())
    except UNREADABLE:
        return False
    return True


def _slip(raw: bytes) -> str:
    """Suggest how to write a line that other programs write in a form near to JSON."""
    if _PYTHON.match(raw):
        return "; this looks like a dict as Python prints it: write it by json.dumps(), with double quotes"
    if found := _NOT_A_NUMBER.search(raw):
        return f"; JSON has no {found[1].decode()}: write null"
    return ""


def _hint(raw: bytes) -> str:
    """Suggest the probable format of a file that begins like this."""
    if raw.startswith(b"["):
        return "; this looks like one JSON array: write one object a line (`jq -c '.[]'` does)"
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "; this looks like UTF-16: write it as UTF-8 (`iconv -f UTF-16 -t UTF-8` does)"
    if raw == b"{":
        return "; this looks like objects of several lines: write each into one (`jq -c .` does)"
    if not raw.startswith(b"{") and b"," in raw:
        return "; this looks like csv: read it by `type: csv`"
    return ""
