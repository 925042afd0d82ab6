"""Lines: passes the lines of a CSV file to the parser one by one."""

from __future__ import annotations

from collections.abc import Iterator

from rsq_pipe.connectors.csv.dialect import Dialect
from rsq_pipe.connectors.files.line_reader import LineReader


class TooLongError(ValueError):
    """A row that exceeds max_line: usually because of a quote that is not closed."""


class HeldError(Exception):
    """A row at the end of the file that may still grow."""


class Lines:
    """
    Pass lines to the CSV parser, and keep those of the current row. The parser never reads ahead.

    Args:
        reader: The file.
        dialect: How the file is written.

    Attributes:
        number: The line in which the current row begins.
    """

    def __init__(self, reader: LineReader, dialect: Dialect) -> None:
        self.of_row: list[tuple[bytes, int, bool]] = []
        self.number = 0
        self._reader = reader
        self._encoding = dialect.line_encoding
        self._comment = dialect.comment.encode(self._encoding, "replace")
        self._begin = reader.offset

    def begin_row(self) -> None:
        """Forget the lines of the previous row."""
        self.of_row = []
        self._begin = self._reader.offset

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._reader.readline()
        while self._comment and not self.of_row and line.startswith(self._comment):
            self._begin = self._reader.offset
            line = self._reader.readline()
        while not line and self.of_row and self._reader.goes_on():
            line = self._reader.readline()
        if not line:
            raise HeldError if self._reader.held else StopIteration
        if not self.of_row:
            self.number = self._reader.line
        self.of_row.append((line, self._reader.size, self._reader.overlong))
        if self._reader.overlong or self._reader.offset - self._begin > self._reader.max_line + 1:
            raise TooLongError(f"the row exceeds max_line ({self._reader.max_line} bytes): an open quote?")
        return line.decode(self._encoding)
