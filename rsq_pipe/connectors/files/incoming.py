"""Incoming: standard input, which may be a pipe whose writer is slow."""

from __future__ import annotations

import io
import select
from typing import Any

BLOCK_BYTES = 256 * 1024


class Incoming:
    """
    Read a descriptor, and determine whether reading a line from it would have to wait.

    Args:
        fd: The descriptor; not closed here.
    """

    def __init__(self, fd: int) -> None:
        self._raw = _Counted(fd, closefd=False)
        self.file = io.BufferedReader(self._raw, BLOCK_BYTES)

    def has_more(self, consumed: int) -> bool:
        """
        Return whether there is something to read now, or the end has been reached.

        Args:
            consumed: Bytes taken from `file` so far: if more was delivered, it is in the buffer, and only
                then can peek() be called without waiting.
        """
        if self._raw.delivered > consumed and b"\n" in self.file.peek():
            return True
        return bool(select.select([self._raw], [], [], 0)[0])


class _Counted(io.FileIO):
    delivered = 0

    def readinto(self, buffer: Any) -> int | None:
        size = super().readinto(buffer)
        self.delivered += size or 0
        return size
