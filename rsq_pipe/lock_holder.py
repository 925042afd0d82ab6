"""Lock holder: finds the process that has a file or folder locked, and names it in a message."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from rsq_pipe.process_state import describe_process

_LOCKS = Path("/proc/locks")


def locked(doing: str, *paths: Path) -> str:
    """
    Say which process does something to files that it has locked, and what to do if that process is paused.

    It reads /proc/locks: a file must not be opened for this, since closing it would release the locks that
    SQLite has on it in this process. It is "another process" where that does not name one: on other systems
    than Linux, or if it runs on another machine or in another container.

    Args:
        doing: What the process does, `is writing out/x.db`.
        paths: The files or folders; of several processes, one that has the first of them locked is named, and
            rather one that writes.
    """
    pid = next((pid for path in paths for pid in _holders(path)), None)
    return f"another process {doing}" if pid is None else describe_process(pid, doing)


def _holders(path: Path) -> list[int]:
    """List the other processes that have a file locked, those that write first."""
    try:
        found = path.stat()
        lines = _LOCKS.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    # 1: POSIX  ADVISORY  WRITE 1234 fe:00:5678 1073741824 1073742335; after `->` one that waits.
    words = (line.split() for line in lines if "->" not in line)
    locks = [(kind, int(pid)) for _, _, _, kind, pid, of, *_ in words if of == file]
    locks.sort(key=lambda lock: lock[0] != "WRITE")
    return [pid for _, pid in locks if pid > 0 and pid != os.getpid()]


def holder(path: Path) -> int:
    """
    Return the process that holds the lock of a file; 0 if there is none, or it cannot be found out.

    For files whose holder writes its number into them; before it has, Linux says who took the lock.
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
