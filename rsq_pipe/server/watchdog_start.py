"""Watchdog start: starts a watchdog that holds its lock from the first moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rsq_pipe.server.file_lock import FileLock
from rsq_pipe.server.home import Home, open_own


def start_watchdog(home: Home, binary: Path, lock: FileLock) -> None:
    """
    Start a watchdog that inherits the lock just taken, so that two can never be started.

    Args:
        home: The server's files.
        binary: The server program.
        lock: The watchdog's lock, held exclusively.

    Raises:
        OSError: It cannot be started, or its log cannot be written.
    """
    # -P: a user's module must not shadow one of the standard library.
    command = [sys.executable, "-P", "-m", "rsq_pipe.server.watchdog"]
    os.truncate(lock.fd, 0)  # an earlier watchdog's pid, which may by now belong to another process
    with open_own(home.watchdog_log) as log:
        subprocess.run(
            [*command, str(home.root), str(binary), str(lock.fd)],
            cwd=home.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Its own session: Ctrl-C in the terminal reaches the pipeline, which drains, not the server.
            start_new_session=True,
            pass_fds=(lock.fd,),
            check=False,
        )
