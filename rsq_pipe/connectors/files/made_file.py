"""MadeFile: a file made from another one, to be renamed when it is complete."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Make: TypeAlias = Callable[[Path, Path], None]
"""Makes the second file from the first; OSError if it cannot be written."""

_ENDING = ".made"


class MadeFile:
    """
    Make a file next to its final place. All methods raise OSError as the system does.

    A lock on it shows later processes that its maker is alive: one that was killed leaves it behind.

    Args:
        make: Makes it.
        of: The original file.
        name: Its final name; the caller renames it.
    """

    def __init__(self, make: Make, of: Path, name: Path) -> None:
        self._fd, path = tempfile.mkstemp(prefix=f".{name.name}.", suffix=_ENDING, dir=name.parent)
        self.path = Path(path)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            make(of, self.path)
            os.fchmod(self._fd, of.stat().st_mode & 0o777)
            os.fsync(self._fd)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release it; if it was not renamed, it is removed."""
        self.path.unlink(missing_ok=True)
        os.close(self._fd)


def remove_leftovers(name: Path) -> None:
    """Remove files left by killed processes: for this file, and for all others of its kind in the folder."""
    stem = name.name.rpartition("-")[0]
    for path in name.parent.glob(f".{glob.escape(stem)}-*{glob.escape(name.suffix)}.*{_ENDING}"):
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(fd)
