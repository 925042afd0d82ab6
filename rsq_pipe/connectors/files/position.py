"""Position: how far a file has been read, and its first bytes' checksum."""

from __future__ import annotations

import zlib

from msgspec import Struct

HEAD_BYTES = 4096


class Position(Struct, frozen=True):
    """
    Identify a place in a file so that another process can continue from it.

    Args:
        offset: Bytes read; for a .gz file, bytes after unpacking.
        line: Lines read.
        crc: CRC-32 of the file's first min(offset, 4096) bytes, which reveals another file under the same
            name.
        note: Further text that the source needs to continue as it began.
    """

    offset: int
    line: int
    crc: int
    note: str = ""

    @classmethod
    def parse(cls, text: str) -> Position:
        """
        Read what `str(position)` wrote.

        Raises:
            ValueError: The text is not a position.
        """
        place, _, note = text.partition("|")
        offset, line, crc = place.split(":")
        return cls(int(offset), int(line), int(crc, 16), note)

    def __str__(self) -> str:
        return f"{self.offset}:{self.line}:{self.crc:08x}" + (f"|{self.note}" if self.note else "")

    def fits(self, head: bytes) -> bool:
        """Return whether a file that begins with `head` is the one in which this position was taken."""
        return len(head) >= min(self.offset, HEAD_BYTES) and fingerprint(head, self.offset) == self.crc


def fingerprint(head: bytes, offset: int) -> int:
    """Return a checksum of the beginning of a file, of which `offset` bytes have been read."""
    return zlib.crc32(head[: min(offset, HEAD_BYTES)])
