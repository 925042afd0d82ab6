"""Lines: passes the lines of a CSV file to the parser one by one."""

from __future__ import annotations

from collections.abc import Iterator

from rsq_pipe.connectors.csv.dialect import Dialect
from rsq_pipe.connectors.files.line_reader import LineReader

_READ_AGAIN = 4
"""How many times the bytes of a file may be read again in all, and how many times `max_line` before that."""


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
        self._read_again = 0
        self._single_up_to = 0

    def begin_row(self) -> None:
        """Forget the lines of the previous row."""
        self.of_row = []
        self._begin = self._reader.offset

    def put_back(self) -> None:
        """
        Put back the lines of the current row but the first: they may be rows themselves.

        If almost every line opened a quote that closes far below or never, each would be read as often as
        there are such lines above it. So once too much was read again, these lines are read singly.
        """
        end = self._reader.offset
        self._reader.put_back(self.of_row[1:])
        self._read_again += end - self._reader.offset
        if self._read_again > _READ_AGAIN * (self._reader.max_line + self._reader.offset):
            self._single_up_to = max(self._single_up_to, end)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.of_row and self._begin < self._single_up_to:
            raise TooLongError("a quote opens and does not close in this line, as in too many lines above it")
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
