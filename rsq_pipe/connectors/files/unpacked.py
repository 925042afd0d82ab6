"""Unpacked: a .gz file as the bytes that were packed."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any


class Unpacked(io.RawIOBase):
    """
    Unpack a .gz file for an io.BufferedReader, whose readline runs in C.

    Each read is one step of unpacking. A GzipFile under a BufferedReader fills whole blocks instead, and
    where the file is damaged, all that was unpacked for the last block is lost.
    """

    def __init__(self, path: Path) -> None:
        self._file = gzip.GzipFile(path)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be moved; to move it is to unpack again, from the start if need be."""
        return True

    def fileno(self) -> int:
        """Give the descriptor of the packed file."""
        return self._file.fileno()

    def readinto(self, buffer: Any) -> int:
        """Unpack what one step yields."""
        data = self._file.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place in the unpacked bytes."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Name the place in the unpacked bytes."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
