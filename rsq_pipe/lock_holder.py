"""Lock holder: names, in a message, the process that has a file or folder locked."""

from __future__ import annotations

import os
from pathlib import Path

from rsq_pipe.process_state import describe_process


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
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    # 1: POSIX  ADVISORY  WRITE 1234 fe:00:5678 1073741824 1073742335; after `->` one that waits.
    words = (line.split() for line in lines if "->" not in line)
    locks = [(kind, int(pid)) for _, _, _, kind, pid, of, *_ in words if of == file]
    locks.sort(key=lambda lock: lock[0] != "WRITE")
    return [pid for _, pid in locks if pid > 0 and pid != os.getpid()]
