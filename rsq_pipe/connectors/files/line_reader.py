"""LineReader: the lines of one file in bounded memory, with the exact position."""

from __future__ import annotations

import io
import os
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from rsq_pipe.connectors.files.file_end import Ending, FileEnd
from rsq_pipe.connectors.files.incoming import BLOCK_BYTES, Incoming
from rsq_pipe.connectors.files.notice import notice
from rsq_pipe.connectors.files.position import HEAD_BYTES, Position, fingerprint
from rsq_pipe.connectors.wording import wording
from rsq_pipe.errors import SourceError

_NEWLINE = 0x0A
_BYTES_A_LINE = 512  # bytes read per requested line: not a whole buffer for one line


class LineReader:
    """
    Read lines of bytes, keeping at most `max_line` bytes of each.

    Args:
        file: Is at its beginning, or just after its byte order mark.
        name: The file as the user would name it, for messages.
        stage: The source's stage, for errors.
        max_line: Maximum bytes of a line that are kept; the rest of a longer one is skipped.
        head: The file's first bytes; None for standard input, which cannot be read twice.
        offset: Bytes already read: those of a byte order mark.
        end: Watches the file's end; None for standard input, whose end is final.
        is_whole: Whether a last line without a newline can only be whole, even if the file grows.

    Attributes:
        offset: Bytes read so far.
        line: Lines read so far; after `readline`, the number of that line, from 1.
        size: Bytes of the last line, as in the file.
        overlong: Whether that was more than `max_line`, and only the first bytes were kept.
        incoming: The input of `file`, if reading it may have to wait.
        inside_line: Whether `resume` led into a line: the file had ended there without a newline.
        held: Whether the last line was left unread because it has no newline yet.
        note: Text that the source stores with each position.
        unit: What `line` counts, for messages.
        followed: Whether the file is read again as it grows.
    """

    def __init__(
        self,
        file: io.BufferedReader[Any],
        *,
        name: str,
        stage: str,
        max_line: int,
        head: bytes | None = None,
        offset: int = 0,
        end: FileEnd | None = None,
    ) -> None:
        self.name = name
        self.offset = offset
        self.line = 0
        self.size = 0
        self.overlong = False
        self.inside_line = False
        self.held = False
        self.note = ""
        self.unit = "line"
        self.followed = False
        self.is_whole: Callable[[bytes], bool] = lambda _: False
        self._file = file
        self._end = end
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
            SourceError: The file cannot be read any further, such as a damaged .gz.
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

    def whole_lines(self, count: int, size: int) -> bytes:
        """
        Read the next lines that are available, without consuming them.

        Neither any of them nor all of them together are longer than max_line: a record of several lines
        among them cannot be too long. Empty if only `readline` can read the next one.

        Args:
            count: Maximum number of lines.
            size: Maximum number of bytes.

        Raises:
            SourceError: The file cannot be read any further.
        """
        if self._put_back or self._ended or self.inside_line:
            return b""
        try:
            seen = self._file.peek()
        except (OSError, EOFError, zlib.error) as exc:
            raise self._unreadable(exc) from exc
        seen = seen[: min(size, self.max_line + 1, count * _BYTES_A_LINE)]
        seen = seen[: seen.rfind(b"\n") + 1]
        return seen if seen.count(b"\n") <= count else seen[: length(seen, count)]

    def pass_over(self, size: int, lines: int) -> None:
        """Consume lines that `whole_lines` has shown."""
        self._file.read(size)
        self.offset += size
        self.line += lines

    def read_block(self) -> bytes:
        """
        Read bytes, regardless of lines; empty at the end of the file.

        Raises:
            SourceError: The file cannot be read any further.
        """
        try:
            block = self._file.read1(BLOCK_BYTES)
        except (OSError, EOFError, zlib.error) as exc:
            raise self._unreadable(exc) from exc
        self.offset += len(block)
        self._ended = not block
        return block

    def goes_on(self) -> bool:
        """Return, at the file's end and inside a record, whether the file grew; may wait to find out."""
        ending = self._end.of_line(self.offset) if self._end else "whole"
        self.held = self.held or ending == "held"
        self._ended = ending != "grown"
        return not self._ended

    def check(self) -> None:
        """
        Check that the part that was read has not changed.

        Raises:
            SourceError: The file was shortened or rewritten while it was read, or replaced when its end was
                reached.
        """
        if self._end is None:
            return
        why = self._end.altered(self.offset)
        if not why and self._ended and self._end.replaced():
            why = "was replaced by another file while it was read"
        if why:
            message = (
                f"file {self.name} {why}; it was read up to {self.unit} {self.line} "
                "(use --fresh to start over, or give the new file another name)"
            )
            raise SourceError(message, stage=self._stage)

    def log(self, level: Literal["info", "warning"], what: str) -> None:
        """Log something about this file."""
        notice(level, what, self._stage, self.name)

    def has_more(self) -> bool:
        """Return whether the next line, or the end, is available without waiting; in a file it always is."""
        return self.incoming is None or bool(self._put_back) or self.incoming.has_more(self.offset)

    def put_back(self, lines: list[tuple[bytes, int, bool]]) -> None:
        """Put back the lines just read, each with its `size` and `overlong`, so that they are read next."""
        self._put_back.extendleft(reversed(lines))
        self.offset -= sum(size for _, size, _ in lines)
        self.line -= len(lines)

    def position(self, offset: int, line: int) -> str:
        """Return the position of a place already passed, for `resume` in another process."""
        if self._head is not None and len(self._head) < min(offset, HEAD_BYTES):
            self._head = self._grown(self._head)
        return str(Position(offset, line, fingerprint(self._head or b"", offset), self.note))

    def _grown(self, head: bytes) -> bytes:
        """Read the file's first bytes again: others have added to it since it was opened."""
        if not isinstance(getattr(self._file, "raw", None), io.FileIO):
            return head  # a packed file was complete from the beginning
        try:
            return os.pread(self._file.fileno(), HEAD_BYTES, 0)
        except OSError as exc:
            raise self._unreadable(exc) from exc

    def resume(self, position: str) -> None:
        """
        Continue from a place that `position` returned.

        Raises:
            SourceError: The file is not the one in which that place was taken.
        """
        try:
            place = Position.parse(position)
        except ValueError as exc:
            message = f"file {self.name}: {position!r} is not a stored position (use --fresh to start over)"
            raise SourceError(message, stage=self._stage) from exc
        self.note = place.note
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
                f"file {self.name} is not the file that was read up to {self.unit} {place.line}: it begins "
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
            line = self._file.readline(self.max_line + 1)
            self.size = len(line)
            self.overlong = False
            return line if line and line[-1] == _NEWLINE else self._without_newline(line)
        except (OSError, EOFError, zlib.error) as exc:
            raise self._unreadable(exc) from exc

    def _unreadable(self, error: Exception) -> SourceError:
        message = f"file {self.name} cannot be read past {self.unit} {self.line}: {wording(error)}"
        return SourceError(message, stage=self._stage)

    def _without_newline(self, line: bytes) -> bytes:
        """Read on in a line that is longer than what is kept, or that ends with the file."""
        while line:
            piece = self._file.readline(BLOCK_BYTES)
            self.size += len(piece)
            line += piece[: self.max_line + 1 - len(line)]
            if piece[-1:] == b"\n":
                break
            # If the file grows after this, it continues the same line, not the next one.
            if not piece and (ending := self._ending(line)) != "grown":
                self._ended = True
                self.held = ending == "held"
                line = b"" if self.held else line
                break
        self._ended = self._ended or not line
        self.overlong = self.size > self.max_line and line[-1:] != b"\n"
        return line

    def _ending(self, line: bytes) -> Ending:
        if self._end is None or self.is_whole(line):
            return "whole"
        return self._end.of_line(self.offset + self.size)

    def _move_to(self, offset: int) -> bytes:
        """Go to `offset`; return the byte before it, empty if the file does not reach that far."""
        try:
            self._file.seek(offset - 1)
            return self._file.read(1)
        except (OSError, EOFError, zlib.error) as exc:
            message = f"file {self.name} cannot be read up to the place reached before: {wording(exc)}"
            raise SourceError(message, stage=self._stage) from exc


def length(data: bytes, lines: int) -> int:
    """Count the bytes of the first lines of `data`, which has at least that many."""
    return len(data) - len(data.split(b"\n", lines)[-1]) if lines else 0
