"""HeldFile: the contents of a sink's file, compared with the mark of its committed part."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from rsq_pipe.connectors.files.position import HEAD_BYTES, fingerprint
from rsq_pipe.connectors.files.unpacked import is_packed

_FORMER = ";"


class Mark(Struct, frozen=True):
    """
    Identify the committed part of a file.

    Args:
        length: Its size in bytes.
        crc: CRC-32 of its first 4096 bytes, or of all if it is shorter; reveals another file of the same
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
        return cls(length, fingerprint(head, length))

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
        """Return whether a file of `size` bytes that begins with `head` may be the one marked."""
        return size >= self.length and Mark.of(self.length, head).crc == self.crc

    def __str__(self) -> str:
        return f"{self.length}:{self.crc:08x}" + (f"{_FORMER}{self.former}" if self.former else "")


class HeldFile(Struct, frozen=True):
    """
    Compare a sink's file with its stored position.

    Args:
        name: The file, as a user would name it.
        size: Its size in bytes; 0 if it does not exist.
        committed: How many of its bytes hold acknowledged records, by the stored position.
        goes_on: Whether the sink can continue in it.
        ends_whole: Whether its last line has its newline.
        position: The position to store so that the sink continues after everything in the file.
    """

    name: str
    size: int
    committed: int
    goes_on: bool
    ends_whole: bool
    position: str

    @property
    def missing(self) -> int:
        """Bytes of acknowledged records that cannot be in the file; others may be missing too."""
        return max(0, self.committed - self.size)


def held_file(path: Path, name: str, position: str) -> HeldFile:
    """
    Look at a file; nothing is created, changed or locked.

    Raises:
        ValueError: The stored position is malformed.
        OSError: The file cannot be read.
    """
    mark = Mark.parse(position)
    if not path.exists():
        return HeldFile(name, 0, mark.length, goes_on=True, ends_whole=True, position=position)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        last = file.read(1)
    marks = (mark, mark.former) if mark.former else (mark,)
    return HeldFile(
        *(name, size, mark.length),
        # A run starts an empty file over, and logs it.
        goes_on=size == 0 or any(one.fits(size, head) for one in marks),
        ends_whole=is_packed(path) or last in {b"", b"\n"},
        position=str(Mark.of(size, head)),
    )
