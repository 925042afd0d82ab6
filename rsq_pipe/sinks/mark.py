"""Mark: how much of a file is committed, and what the file begins with."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Mark:
    """
    Name the committed part of a file.

    Args:
        length: Its bytes.
        crc: CRC-32 of its first 4096 bytes, or of all where it is shorter; tells another file of the same
            name. (An inode number would not do: a writer that takes over puts a copy in the file's place.)
    """

    length: int
    crc: int

    @classmethod
    def of(cls, length: int, head: bytes) -> Mark:
        """Make the mark of a file whose first bytes are `head`."""
        return cls(length, zlib.crc32(head[: min(length, HEAD_BYTES)]))

    @classmethod
    def parse(cls, text: str) -> Mark:
        """
        Read what `str(mark)` wrote.

        Raises:
            ValueError: The text is not a mark.
        """
        length, crc = text.split(":")
        return cls(int(length), int(crc, 16))

    def __str__(self) -> str:
        return f"{self.length}:{self.crc:08x}"
