"""Amount: how much of some files has been read, for the display of a run's progress."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path


class Amount:
    """
    Measure by the position of the system's own pointer in the open file.

    It is ahead of the last record by the buffered bytes, and for packed files it counts packed bytes, whose
    total is known. It is read from another thread than the one that reads the files.
    """

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._read: dict[str, int] = {}
        self._open: list[tuple[str, int]] = []

    def begin(self, files: Mapping[str, Path]) -> None:
        """Store the sizes of the existing files; a size that cannot be read counts as zero."""
        sizes = dict.fromkeys(files, 0)
        for name, path in files.items():
            with contextlib.suppress(OSError):
                sizes[name] = path.stat().st_size
        self._sizes = sizes

    @contextlib.contextmanager
    def reading(self, name: str, descriptor: int) -> Iterator[None]:
        """Measure a file while the block lasts; inside another's block, that one's is suspended."""
        self._open.append((name, descriptor))
        try:
            yield
        finally:
            self._read[name] = _place(descriptor)
            self._open.pop()

    def share(self) -> float | None:
        """Return which share of all bytes has been read, 0 to 1; None if there are none to read."""
        # Copies, and no lock: sources are passed to other processes. A file closed during it costs one look.
        sizes, read = self._sizes, dict(self._read)
        for name, descriptor in self._open[-1:]:
            read[name] = _place(descriptor)
        total = sum(sizes.values())
        return sum(min(count, sizes.get(name, 0)) for name, count in read.items()) / total if total else None


def _place(descriptor: int) -> int:
    try:
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    except OSError:  # it is not seekable, or is closed by now
        return 0
