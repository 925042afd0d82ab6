"""FileEnd: whether a file that was read to its end may still grow, and whether it is still the same file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal, TypeAlias

from rsq_pipe.connectors.files.notice import notice
from rsq_pipe.connectors.files.position import HEAD_BYTES

QUIET = 5.0
"""Seconds without a change after which a last line without a newline counts as whole."""

_POLL = 0.05  # seconds between two looks at a file that may still grow

Ending: TypeAlias = Literal["whole", "grown", "held"]


class FileEnd:
    """
    Watch one open file.

    Args:
        path: Where it was opened.
        name: The file as the user would name it.
        stage: The source's stage.
        fd: The open file; not closed here.
        final: Whether a last line without a newline is whole; None: once nothing has changed for QUIET
            seconds.
        packed: Whether it is a .gz: its end is marked, and its size is not that of the text.
    """

    def __init__(
        self, path: Path, name: str, stage: str, fd: int, *, final: bool | None, packed: bool
    ) -> None:
        self._path = path
        self._name = name
        self._stage = stage
        self._fd = fd
        self._final = True if packed else final
        self._packed = packed
        self._head = os.pread(fd, HEAD_BYTES, 0)
        self._size = os.fstat(fd).st_size

    def of_line(self, offset: int) -> Ending:
        """
        Return whether a line that ends with the file, without a newline, is whole; may wait to find out.

        Args:
            offset: Bytes read so far, including those of the line.

        Returns:
            `grown` if there is more to read; `held` if it must not be taken yet.
        """
        if self._final is not None:
            return "whole" if self._final else "held"
        seen, since, is_logged = None, time.monotonic(), False
        while True:
            now = os.fstat(self._fd)
            if now.st_size > offset:
                return "grown"
            if seen != now.st_mtime_ns:
                seen, since = now.st_mtime_ns, time.monotonic()
            # The clock behind the time stamp may be another machine's: changes observed here count as well.
            if time.time() - now.st_mtime >= QUIET or time.monotonic() - since >= QUIET:
                return "whole"
            if not is_logged:
                is_logged = True
                notice(
                    "info",
                    f"the last line has no newline yet: waiting up to {QUIET:g} s",
                    self._stage,
                    self._name,
                )
            time.sleep(_POLL)

    def altered(self, offset: int) -> str:
        """
        Return what happened to the file if the part that was read has changed; otherwise an empty text.

        Args:
            offset: Bytes read so far.
        """
        head = os.pread(self._fd, len(self._head), 0)
        # In this order: if it were shortened between the two, it would seem to begin differently.
        now = os.fstat(self._fd)
        self._size = max(self._size, 0 if self._packed else offset)
        if now.st_size < self._size:
            return f"was shortened while it was read: from {self._size:,} bytes to {now.st_size:,}"
        self._size = now.st_size
        if head != self._head:
            return "was written again while it was read: it begins differently now"
        return ""

    def replaced(self) -> bool:
        """Return whether the name now belongs to another file; the open one can still be read to its end."""
        now = os.fstat(self._fd)
        try:
            named = self._path.stat()
        except OSError:
            return False  # deleted or moved away
        return (named.st_dev, named.st_ino) != (now.st_dev, now.st_ino)
