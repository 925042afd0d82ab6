"""Mark: how much of a file is committed, and what the file begins with."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

HEAD_BYTES = 4096

_FORMER = ";"


@dataclass(frozen=True, slots=True)
class Mark:
    """
    Name the committed part of a file.

    Args:
        length: Its bytes.
        crc: CRC-32 of its first 4096 bytes, or of all where it is shorter; tells another file of the same
            name. (An inode number would not do: a writer that takes over puts a copy in the file's place.)
        former: The file that was written before and is gone, as long as nothing is committed to the new one:
            a folder that was not mounted, or a file moved away for a moment, may come back.
    """

    length: int
    crc: int
    former: Mark | None = None

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
        own, _, former = text.partition(_FORMER)
        length, crc = own.split(":")
        return cls(int(length), int(crc, 16), cls.parse(former) if former else None)

    def fits(self, size: int, head: bytes) -> bool:
        """Tell whether a file of `size` bytes that begins with `head` can be the one this is a mark of."""
        return size >= self.length and Mark.of(self.length, head).crc == self.crc

    def __str__(self) -> str:
        return f"{self.length}:{self.crc:08x}" + (f"{_FORMER}{self.former}" if self.former else "")
