"""HeldFile: what stands in a sink's file, beside what is stored of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rsq_pipe.connectors.files.mark import HEAD_BYTES, Mark
from rsq_pipe.connectors.files.unpacked import is_packed


@dataclass(frozen=True, slots=True)
class HeldFile:
    """
    Compare a sink's file with the position that is stored for it.

    Args:
        name: The file, as a user would name it.
        size: Its bytes; 0 where there is none.
        committed: The bytes of it that hold acknowledged records, by the stored position.
        goes_on: Whether the sink can go on in it.
        ends_whole: Whether its last line has its newline.
        position: What is to be stored so that the sink goes on behind all the file holds.
    """

    name: str
    size: int
    committed: int
    goes_on: bool
    ends_whole: bool
    position: str

    @property
    def missing(self) -> int:
        """Bytes of acknowledged records that cannot be in the file; it may lack others, too."""
        return max(0, self.committed - self.size)


def held_file(path: Path, name: str, position: str) -> HeldFile:
    """
    Look at a file; nothing is made, changed or locked.

    Raises:
        ValueError: The stored position is none.
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
        # A run begins an empty file again, and says so.
        goes_on=size == 0 or any(one.fits(size, head) for one in marks),
        ends_whole=is_packed(path) or last in {b"", b"\n"},
        position=str(Mark.of(size, head)),
    )
