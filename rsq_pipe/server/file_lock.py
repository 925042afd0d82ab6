"""FileLock: a lock that the kernel releases when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FileLock:
    """
    Hold or try flock(2) on one file.

    The lock belongs to the open file, not to the process: a child that inherits `fd` holds it too, and it is
    released when the last holder closes the file or dies.

    Args:
        path: Created if missing; never deleted, or two processes could lock two files of one name.

    Raises:
        OSError: The file cannot be opened for writing, or is a link.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def try_shared(self) -> bool:
        """Take the lock shared; return False if another holds it exclusively. Does not wait."""
        return self._try(fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Take the lock exclusively; return False if another holds it. Does not wait."""
        return self._try(fcntl.LOCK_EX)

    def held(self) -> bool:
        """Return whether another holds it, shared or exclusively; takes it for a moment if none does."""
        if not self.try_exclusive():
            return True
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        return False

    def in_place(self) -> bool:
        """Return whether the path still leads to this file: false if its folder was deleted or replaced."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Release the lock; idempotent."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self.fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
