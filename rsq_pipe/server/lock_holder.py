"""Lock holder: which process holds a file lock, for messages about one that does not go on."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_LOCKS = Path("/proc/locks")


def holder(path: Path) -> int:
    """
    Return the process that holds the lock of a file; 0 if there is none, or it cannot be found out.

    A holder may have written its number into the file; before it has, Linux says who took the lock.
    """
    with suppress(OSError, ValueError):
        written = int(path.read_text())
        if _lives(written):
            return written
    with suppress(OSError, ValueError):
        inode = path.stat().st_ino
        for line in _LOCKS.read_text().splitlines():
            # 1: FLOCK  ADVISORY  WRITE 24133 fe:00:11175034 0 EOF
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}") and _lives(int(fields[4])):
                return int(fields[4])
    return 0


def _lives(process: int) -> bool:
    if process <= 0:  # the holder is outside of this container
        return False
    with suppress(PermissionError):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True
