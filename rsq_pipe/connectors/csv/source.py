"""Source `csv`: one record per row, under a header, from files or standard input."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rsq_pipe.connectors.csv.advice import advised, of_another_kind
from rsq_pipe.connectors.csv.block import RowsAtOnce
from rsq_pipe.connectors.csv.columns import Columns
from rsq_pipe.connectors.csv.dialect import Dialect, is_wide, spelled
from rsq_pipe.connectors.csv.inference import Types, asked, hidden, hidden_text, infer, resolved
from rsq_pipe.connectors.csv.lines import HeldError, Lines, TooLongError
from rsq_pipe.connectors.csv.read_options import Options
from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.files.broken import broken, overlong, rest_of_line
from rsq_pipe.connectors.files.chunking import ReadBlock, chunked, nothing
from rsq_pipe.connectors.files.endpoints import readable
from rsq_pipe.connectors.files.files import Files, FileSource
from rsq_pipe.connectors.files.line_reader import LineReader
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.errors import SourceError
from rsq_pipe.streams.unique_keys import shown

__all__ = ["CsvSource", "Options", "connect", "endpoint"]


def connect(options: Options, *, stage: str, root: Path) -> CsvSource:
    """Make the source of a stage; nothing is opened yet."""
    return CsvSource(options, stage=stage, root=root)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:
    """Return its files as an endpoint."""
    return readable(options.path, stage=stage, root=root, watch=options.watch)


class CsvSource(FileSource):
    """Yield the rows of csv files; a row that does not match the header becomes a broken arrival."""

    def __init__(self, options: Options, *, stage: str, root: Path) -> None:
        self._options = options
        self._dialect = options.dialect
        self._stage = stage
        super().__init__(
            Files(
                options.path,
                root=root,
                stage=stage,
                max_line=options.max_line,
                final=options.final,
                encoding=options.encoding if is_wide(options.encoding) else "",
                follow=options.follow,
                watch=options.watch,
            )
        )
        self._columns_of_stdin: Columns | None = None
        # The parser's own limit applies to the whole process, and is lower than max_line.
        csv.field_size_limit(max(csv.field_size_limit(), options.max_line))

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:
        """Yield the rows after `position`."""
        with self._files.opened(shard) as reader:
            columns = self._columns_of_stdin
            if columns is None:
                columns = self._columns(reader, shard, position)
            elif position:
                reader.resume(position)
            if columns is None and not reader.held:
                reader.log("warning", "the file is empty: there is no header and no record in it")
            if self._files.from_stdin:
                self._columns_of_stdin = columns
            careful: Iterator[Arrival] = iter(())
            at_once: ReadBlock = nothing
            if columns is not None:
                careful = _arrivals(shard, reader, columns, self._dialect, self._options.decimal)
                at_once = RowsAtOnce(columns, self._dialect)
            yield from chunked(shard, reader, careful, at_once, size=size, limit=self._options.chunk_bytes)

    def _columns(self, reader: LineReader, shard: str, position: str) -> Columns | None:
        """Read what precedes the rows, and go to `position`; None if the file is empty."""
        options = self._options
        header = self._header(reader)
        number = max(1, reader.line)
        if position:
            reader.resume(position)
        if header is None:
            return None
        types = resolved(options.types, header, self._inferred(reader, shard, header))
        try:
            return Columns(
                header,
                types,
                options.na,
                keep_empty=options.empty == "keep",
                decimal=options.decimal,
                formats=options.formats,
                trim=options.trim,
            )
        except ValueError as exc:
            message = f"{reader.name}:{number}: {advised(exc, self._dialect)}"
            raise SourceError(message, stage=self._stage) from exc

    def _header(self, reader: LineReader) -> Sequence[str] | None:
        """Read the header, and the lines before it; None if the file is empty."""
        for _ in range(self._options.skip):
            reader.readline()
        if self._options.columns:
            return self._options.columns
        try:
            header = self._dialect.stripped(next(self._dialect.rows(Lines(reader, self._dialect))))
        except (StopIteration, HeldError):
            return None
        except (csv.Error, ValueError) as exc:
            message = f"{reader.name}:{max(1, reader.line)}: {advised(exc, self._dialect)}"
            raise SourceError(message, stage=self._stage) from exc
        if kind := of_another_kind(header):
            raise SourceError(f"{reader.name}: it is not csv; {kind}", stage=self._stage)
        if likely := self._dialect.likely_delimiter(header):
            reader.log(
                "warning",
                f"the only column is named {shown(header[0])}: if {likely!r} parts its fields, "
                f'set `delimiter: "{spelled(likely)}"`',
            )
        return header

    def _inferred(self, reader: LineReader, shard: str, header: Sequence[str]) -> Types:
        """Infer the requested types, or use those that were inferred when the file was begun."""
        options = self._options
        names = asked(options.types, header, options.formats)
        if not names:
            return {}
        if reader.note:
            stored: Types = json.loads(reader.note)
            if stored.keys() >= set(names):
                return stored
        rows = self._sample(shard)
        types = infer(header, rows, options.na, options.decimal)
        found: Types = {name: types[name] for name in names}
        shown = ", ".join(f"{name} {type_}" for name, type_ in found.items())
        reader.log("info", f"types inferred from the first {options.infer_rows:,} rows: {shown}")
        texts = hidden(header, rows, options.na, options.decimal)
        if texts := {name: text for name, text in texts.items() if name in found}:
            reader.log("warning", "; ".join(hidden_text(texts)))
        reader.note = json.dumps(found, separators=(",", ":"))
        return found

    def _sample(self, shard: str) -> list[Sequence[str]]:
        """Read the first rows of a file, ignoring malformed ones."""
        rows: list[Sequence[str]] = []
        with self._files.opened(shard) as reader:
            self._header(reader)
            lines = Lines(reader, self._dialect)
            parsed = self._dialect.rows(lines)
            while len(rows) < self._options.infer_rows:
                lines.begin_row()
                try:
                    row = next(parsed)
                except (StopIteration, HeldError):
                    break
                except (csv.Error, ValueError):
                    lines.put_back()
                    continue
                if row:
                    rows.append(self._dialect.stripped(row))
        return rows


def _arrivals(
    shard: str, reader: LineReader, columns: Columns, dialect: Dialect, decimal: str
) -> Iterator[Arrival]:
    yield from rest_of_line(shard, reader)
    lines = Lines(reader, dialect)
    rows = dialect.rows(lines)
    while True:
        lines.begin_row()
        try:
            row = next(rows)
            if row:
                yield Arrival(f"{shard}:{lines.number}", columns.record(row))
        except (StopIteration, HeldError):
            return
        except (csv.Error, UnicodeDecodeError, TooLongError) as exc:
            yield _unreadable(shard, reader, lines, advised(exc, dialect))
        except ValueError as exc:
            raw = b"".join(line for line, _, _ in lines.of_row)
            yield broken(shard, reader, lines.number, raw, advised(exc, dialect, decimal))


def _unreadable(shard: str, reader: LineReader, lines: Lines, why: str) -> Arrival:
    """
    Make the arrival of lines that are not a row, and continue after the first of them.

    If a quote opens in a line and the parser fails further on, only that line is certainly wrong: the
    others are put back and may be rows themselves.
    """
    lines.put_back()
    line, _, is_overlong = lines.of_row[0]
    if is_overlong:
        return overlong(shard, reader, reader.line, line)
    return broken(shard, reader, reader.line, line, why)
