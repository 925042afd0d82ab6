"""LineReader: the lines of one file in bounded memory, always knowing where it stands."""

from __future__ import annotations

import zlib
from collections import deque
from typing import BinaryIO

from rsq_pipe.errors import SourceError
from rsq_pipe.sources.incoming import BLOCK_BYTES, Incoming
from rsq_pipe.sources.position import Position, fingerprint
from rsq_pipe.sources.wording import wording

_NEWLINE = 0x0A


class LineReader:
    """
    Read lines of bytes, keeping at most `max_line` bytes of each.

    Args:
        file: Stands at its beginning, or behind its byte order mark.
        name: The file as the user would name it, for messages.
        stage: The source's stage, for errors.
        max_line: Bytes of a line that are kept; the rest of a longer one is passed over.
        head: The file's first bytes; None for standard input, which cannot be read twice.
        offset: Bytes already passed: those of a byte order mark.

    Attributes:
        offset: Bytes read so far.
        line: Lines read so far; after `readline`, the number of that line, from 1.
        size: Bytes of the last line in the file.
        overlong: Whether these were more than `max_line`, and only the first were kept.
        incoming: What `file` reads from, where that may make a reader wait.
        inside_line: Whether `resume` led into a line: the file had ended there without a newline.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        name: str,
        stage: str,
        max_line: int,
        head: bytes | None = None,
        offset: int = 0,
    ) -> None:
        self.name = name
        self.offset = offset
        self.line = 0
        self.size = 0
        self.overlong = False
        self.inside_line = False
        self._file = file
        self._stage = stage
        self.max_line = max_line
        self._head = head
        self.incoming: Incoming | None = None
        self._put_back: deque[tuple[bytes, int, bool]] = deque()
        self._ended = False

    def readline(self) -> bytes:
        """
        Read the next line with its newline; empty at the end of the file.

        Raises:
            SourceError: The file cannot be read any further: a damaged .gz, say.
        """
        if self._put_back:
            line, self.size, self.overlong = self._put_back.popleft()
        elif self._ended:
            return b""
        else:
            line = self._next_line()
        if line:
            self.offset += self.size
            self.line += 1
        return line

    def has_more(self) -> bool:
        """Tell whether the next line, or the end, is there without waiting; a file never makes one wait."""
        return self.incoming is None or bool(self._put_back) or self.incoming.has_more(self.offset)

    def put_back(self, lines: list[tuple[bytes, int, bool]]) -> None:
        """Put back the lines just read, each with its `size` and `overlong`, to be read again next."""
        self._put_back.extendleft(reversed(lines))
        self.offset -= sum(size for _, size, _ in lines)
        self.line -= len(lines)

    def position(self, offset: int, line: int) -> str:
        """Spell a place already passed, for `resume` in another process."""
        return str(Position(offset, line, fingerprint(self._head or b"", offset)))

    def resume(self, position: str) -> None:
        """
        Go on from a place that `position` spelled.

        Raises:
            SourceError: The file is not the one that place was in.
        """
        try:
            place = Position.parse(position)
        except ValueError as exc:
            message = f"file {self.name}: {position!r} is not a stored position (use --fresh to start over)"
            raise SourceError(message, stage=self._stage) from exc
        if (place.offset, place.line) == (self.offset, self.line):
            return
        if self._head is None:
            message = (
                f"{self.name} stands at line {self.line} and cannot be moved to line {place.line}: "
                "put it into a file, or use --fresh to start over"
            )
            raise SourceError(message, stage=self._stage)
        before = self._move_to(place.offset) if place.fits(self._head) else b""
        if not before:
            message = (
                f"file {self.name} is not the file that was read up to line {place.line}: it begins "
                "differently, or is shorter (use --fresh to start over, or give the new file another name)"
            )
            raise SourceError(message, stage=self._stage)
        self.offset, self.line = place.offset, place.line
        self.inside_line = before != b"\n"

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _next_line(self) -> bytes:
        try:
            line = end = self._file.readline(self.max_line + 1)
            self.size = len(line)
            self.overlong = self.size > self.max_line and line[-1] != _NEWLINE
            while self.overlong and end and end[-1] != _NEWLINE:
                end = self._file.readline(BLOCK_BYTES)
                self.size += len(end)
        except (OSError, EOFError, zlib.error) as exc:
            message = f"file {self.name} cannot be read past line {self.line}: {wording(exc)}"
            raise SourceError(message, stage=self._stage) from exc
        # A file that grows at this moment goes on with the same line, not with the next one.
        self._ended = not end or end[-1] != _NEWLINE
        return line

    def _move_to(self, offset: int) -> bytes:
        """Stand at `offset`; return the byte before it, empty where the file does not reach that far."""
        try:
            self._file.seek(offset - 1)
            return self._file.read(1)
        except (OSError, EOFError, zlib.error) as exc:
            message = f"file {self.name} cannot be read up to the place reached before: {wording(exc)}"
            raise SourceError(message, stage=self._stage) from exc
