"""Objects at once: reads the JSON objects of many lines together, if none needs special treatment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import msgspec

from rsq_pipe.connectors.files.chunking import Block
from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.jsonl.rows import rows_of

_decode_lines = msgspec.json.Decoder().decode_lines
_encode_lines = msgspec.json.Encoder().encode_lines
_LONGEST_PAUSE = 64  # blocks that are read as objects before rows are tried again


class ObjectsAtOnce:
    """Read whole lines of JSON, up to the first that is neither blank nor one object; as rows if possible."""

    def __init__(self) -> None:
        self._passed_by = 0
        self._pause = 1

    def __call__(self, data: bytes) -> Block:
        """Read lines."""
        if self._passed_by:
            self._passed_by -= 1
            return objects_at_once(data)
        rows = rows_of(data)
        if rows is not None:
            self._pause = 1
            return Block(rows, range(len(rows)), len(data), len(rows), _Lines(data))
        # If lines differ, or are written in another way, trying was wasted work.
        self._passed_by, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE)
        return objects_at_once(data)


def objects_at_once(data: bytes) -> Block:
    """Read whole lines of JSON, up to the first that is neither blank nor one object."""
    count = data.count(b"\n")
    records = _all(data, count)
    if records is not None:
        return Block(records, range(count), len(data), count, _Lines(data))
    records, lines, raws = [], [], []
    read = size = 0
    for line in data.split(b"\n")[:-1]:
        raw = line.strip()
        if raw:
            try:
                records.append(parse(raw))
            except UNREADABLE:
                break
            lines.append(read)
            raws.append(raw)
        read += 1
        size += len(line) + 1
    return Block(records, lines, size, read, raws)


def _all(data: bytes, count: int) -> list[dict[str, Any]] | None:
    """
    Read all lines, if each is one object without a repeated key.

    The decoder treats newlines like any other white space. But a value that continues after the end of a line
    cannot end that line with one of its own endings, if the next line begins an object: the line ends with
    `,` or `:` or `[`. So if every line begins with `{` and ends with `}`, there are whole objects in each;
    and exactly one, if there are no more objects than lines.
    """
    newline = b"\r\n" if data.endswith(b"\r\n") else b"\n"
    if not data.startswith(b"{") or not data.endswith(b"}" + newline):
        return None
    if data.count(b"}" + newline + b"{") != count - 1:
        return None
    try:
        records: list[dict[str, Any]] = _decode_lines(data)
        if len(records) != count:
            return None
        if _holds_all(data, records):
            return records
    except UNREADABLE:
        return None
    return None


def _holds_all(data: bytes, records: list[dict[str, Any]]) -> bool:
    """Return whether certainly no key was lost, like `parse` but for all records together."""
    # In no record can any of these numbers be higher than in its line; so if their sums are equal, all are.
    first = data.count(b":", 0, data.index(b"\n"))
    if first == len(records[0]) and data.count(b":") == sum(map(len, records)):
        return True
    encoded = _encode_lines(records)
    if encoded == data:
        return True
    is_spelled = b"\\" in data and b"\\u0022" in data
    return not is_spelled and data.count(b'"') == encoded.count(b'"')


class _Lines(Sequence[bytes]):
    """The lines of a block, split when the first of them is accessed: few ever are."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._lines: list[bytes] | None = None

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | Sequence[bytes]:
        return self._parted()[place]

    def __len__(self) -> int:
        return len(self._parted())

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parted())

    def _parted(self) -> list[bytes]:
        if self._lines is None:
            self._lines = [line.strip() for line in self._data.split(b"\n")[:-1]]
            self._data = b""
        return self._lines
