"""
Watchdog: the small process that keeps the embedded server running while it has users.

Three file locks show which processes exist, and the kernel frees each when its holder ends, even by SIGKILL:

    users.lock    shared by every user; the watchdog gets it alone when the last user is gone
    keeper.lock   held by the watchdog: there is one, or the next user of the server starts one
    server.lock   held by the server process: there is one, and it may outlive its watchdog

It imports as little as it can: users wait for it to start.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from rsq_pipe.errors import ServerStartError
from rsq_pipe.growing_pause import GrowingPause
from rsq_pipe.server.file_lock import FileLock
from rsq_pipe.server.home import Home
from rsq_pipe.server.process import ServerProcess

# Seconds between two checks of users and server; a dead server is back about this much later.
TICK = 0.05
LONGEST_RESTART_DELAY = 5.0
# Maximum number of restarts in a row that may fail; after that a user has to start another watchdog.
RESTARTS = 10


def keep(home: Home, binary: Path, watchdog_lock: int) -> None:
    """
    Run the home's server until its last user is gone.

    Args:
        home: The server's files.
        binary: The server program, if no server is running yet.
        watchdog_lock: The file descriptor of the watchdog's lock, taken by the process that started this one.

    Raises:
        ServerStartError: The server did not start.
    """
    with suppress(OSError):  # a full disk: the file is only informative, the lock is what counts
        os.write(watchdog_lock, f"{os.getpid()}\n".encode())
    users = FileLock(home.users_lock)
    server = ServerProcess(home, binary)
    server.start()
    while not users.try_exclusive():
        if not server.alive() and users.in_place():
            _revive(server, users)
        time.sleep(TICK)
    if users.in_place():
        server.stop()
    else:
        # The folder was deleted with its data. A clean end would delete the socket, which may by now belong
        # to another server at the same path.
        server.kill()
    # This is released first, and users.lock later, with the end of the process: a new user must see that
    # there is no watchdog, or it would wait for a server that nothing starts.
    os.close(watchdog_lock)


def _revive(server: ServerProcess, users: FileLock) -> None:
    """
    Restart a dead server, again and again while it has users: their work waits for it.

    Raises:
        ServerStartError: Several starts in a row have failed.
    """
    pause = GrowingPause(TICK, LONGEST_RESTART_DELAY)
    failed = 0
    while not users.try_exclusive():
        try:
            server.start()
        except ServerStartError as exc:
            failed += 1
            if failed == RESTARTS:
                raise
            _log(str(exc))
            time.sleep(pause.fails())
        else:
            _log("the server had died; it runs again")
            return


def _log(line: str) -> None:
    print(time.strftime("%Y-%m-%dT%H:%M:%S"), line, file=sys.stderr, flush=True)  # noqa: T201


def _stay(_number: int, _frame: object) -> None:
    """Ignore a signal. Unlike SIG_IGN this is not inherited by the server."""


def main(root: str, binary: str, watchdog_lock: str) -> int:
    """Keep the server of `root` running in the background; on failure, standard error has the reason."""
    # The user waits for this process once, and must not have to again when the watchdog ends.
    if os.fork():
        return 0
    # A service manager that stops a whole process group means the users, which still need the server to
    # settle what they hold. The watchdog ends after them.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stay)
    try:
        keep(Home(Path(root)), Path(binary), int(watchdog_lock))
    except ServerStartError as exc:
        print(exc, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
