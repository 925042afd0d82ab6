"""Source `csv`: one record a row, under a header, from files or standard input."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rsq_pipe.connectors.csv.block import RowsAtOnce
from rsq_pipe.connectors.csv.columns import Columns
from rsq_pipe.connectors.csv.field_types import FieldType
from rsq_pipe.connectors.files.block import ReadBlock, nothing
from rsq_pipe.connectors.files.broken import broken, overlong, rest_of_line
from rsq_pipe.connectors.files.chunking import chunked
from rsq_pipe.connectors.files.files import Files
from rsq_pipe.connectors.files.line_reader import LineReader
from rsq_pipe.connectors.files.read_settings import ChunkBytes, Final, MaxLine, Paths
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.connectors.wording import wording
from rsq_pipe.errors import SourceError
from rsq_pipe.streams.unique_keys import shown

_DELIMITERS = (";", "\t", "|", ",")
_SPELLED = {"\t": "\\t"}


class Options(BaseModel):
    """Settings of the `csv` source: RFC 4180 with a header line, in UTF-8."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Paths
    types: dict[str, FieldType] = Field(
        default={},
        description="Column -> type. A column that is not named here holds text. Dates (ISO 8601) and "
        "decimals are checked and stay text. A field that is not of its type makes its record a dead letter.",
    )
    na: tuple[str, ...] = Field(default=(), description="Fields that mean null, in every column: `[NA]`.")
    empty: Literal["keep"] | None = Field(
        default=None,
        description="What an empty field is: null, or with `keep` an empty string in text columns.",
    )
    delimiter: str = Field(
        default=",",
        pattern=r'^[^"\r\n]$',
        description='The character between two fields: `";"`, or `"\\t"` for tabs.',
    )
    final: Final = None
    max_line: MaxLine = Field(default="1MiB", validate_default=True)
    chunk_bytes: ChunkBytes = Field(default="1MiB", validate_default=True)


def connect(options: Options, *, stage: str, root: Path) -> CsvSource:
    """Make the source of a stage; nothing is opened yet."""
    return CsvSource(options, stage=stage, root=root)


class CsvSource:
    """Yield the rows of csv files; a row that does not fit the header becomes a broken arrival."""

    def __init__(self, options: Options, *, stage: str, root: Path) -> None:
        self._options = options
        self._stage = stage
        self._files = Files(
            options.path, root=root, stage=stage, max_line=options.max_line, final=options.final
        )
        self._columns_of_stdin: Columns | None = None
        self.resumable = not self._files.from_stdin
        # The parser's own bound is one for the whole process, and lower than max_line.
        csv.field_size_limit(max(csv.field_size_limit(), options.max_line))

    def shards(self) -> Sequence[str]:
        """Name the files, sorted."""
        return self._files.shards()

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:
        """Yield the rows behind `position`."""
        with self._files.opened(shard) as reader:
            columns = self._columns_of_stdin or self._read_header(reader)
            if position:
                reader.resume(position)
            if columns is None and not reader.held:
                reader.tell("warning", "the file is empty: there is no header and no record in it")
            if self._files.from_stdin:
                self._columns_of_stdin = columns
            careful: Iterator[Arrival] = iter(())
            at_once: ReadBlock = nothing
            if columns is not None:
                careful = _arrivals(shard, reader, columns, self._options.delimiter)
                at_once = RowsAtOnce(columns, self._options.delimiter)
            yield from chunked(shard, reader, careful, at_once, size=size, limit=self._options.chunk_bytes)

    def _read_header(self, reader: LineReader) -> Columns | None:
        """Read the header; None of a file that holds nothing."""
        options = self._options
        try:
            header = next(csv.reader(_Lines(reader), delimiter=options.delimiter, strict=True))
            self._check_delimiter(header, reader)
            return Columns(header, options.types, options.na, keep_empty=options.empty == "keep")
        except (StopIteration, _HeldError):
            return None
        except (csv.Error, ValueError) as exc:
            raise SourceError(f"{reader.name}:1: {wording(exc)}", stage=self._stage) from exc

    def _check_delimiter(self, header: Sequence[str], reader: LineReader) -> None:
        """Warn of a header that another character seems to part: every record would be one field."""
        if len(header) != 1:
            return
        likely = max(_DELIMITERS, key=header[0].count)
        if likely in header[0] and likely != self._options.delimiter:
            reader.tell(
                "warning",
                f"the only column is named {shown(header[0])}: if {likely!r} parts its fields, "
                f'set `delimiter: "{_SPELLED.get(likely, likely)}"`',
            )


class _TooLongError(ValueError):
    """A row that goes on past max_line: mostly a quote that is not closed."""


class _HeldError(Exception):
    """A row at the end of the file that may still grow."""


class _Lines:
    """Hand lines to the csv parser, and remember those of the row at hand. The parser never reads ahead."""

    def __init__(self, reader: LineReader) -> None:
        self.of_row: list[tuple[bytes, int, bool]] = []
        self._reader = reader
        self._begin = reader.offset

    def begin_row(self) -> None:
        self.of_row = []
        self._begin = self._reader.offset

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._reader.readline()
        while not line and self.of_row and self._reader.goes_on():
            line = self._reader.readline()
        if not line:
            raise _HeldError if self._reader.held else StopIteration
        self.of_row.append((line, self._reader.size, self._reader.overlong))
        if self._reader.overlong or self._reader.offset - self._begin > self._reader.max_line + 1:
            raise _TooLongError(
                f"the row goes on past max_line ({self._reader.max_line} bytes): an open quote?"
            )
        return line.decode()


def _arrivals(shard: str, reader: LineReader, columns: Columns, delimiter: str) -> Iterator[Arrival]:
    yield from rest_of_line(shard, reader)
    lines = _Lines(reader)
    # strict: a quote that is never closed is an error, and not a field that holds the rest of the file.
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin_row()
        number = reader.line + 1
        try:
            row = next(rows)
            if row:
                yield Arrival(f"{shard}:{number}", columns.record(row))
        except (StopIteration, _HeldError):
            return
        except (csv.Error, UnicodeDecodeError, _TooLongError) as exc:
            yield _unreadable(shard, reader, lines.of_row, exc)
        except ValueError as exc:
            yield broken(shard, reader, number, b"".join(line for line, _, _ in lines.of_row), str(exc))


def _unreadable(
    shard: str, reader: LineReader, lines: list[tuple[bytes, int, bool]], error: Exception
) -> Arrival:
    """
    Make the arrival of lines that are not a row, and go on behind the first of them.

    Where a quote opens in a line and the parser fails further on, only that line is certainly wrong: the
    others are put back and may be rows of their own.
    """
    reader.put_back(lines[1:])
    line, _, is_overlong = lines[0]
    if is_overlong:
        return overlong(shard, reader, reader.line, line)
    return broken(shard, reader, reader.line, line, wording(error))
