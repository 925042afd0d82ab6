"""EmbeddedServer: the server of a pipeline that names none."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from rsq_pipe.errors import ServerStartError
from rsq_pipe.lock_holder import holder
from rsq_pipe.process_state import is_stopped
from rsq_pipe.server.binary import find_binary
from rsq_pipe.server.file_lock import FileLock
from rsq_pipe.server.home import Home, unwritable
from rsq_pipe.server.process import ping
from rsq_pipe.server.replacement import Replacement
from rsq_pipe.server.watchdog_start import start_watchdog

# Seconds without any sign of life after which a starting or stopping server is given up.
START_PATIENCE = 15.0
STOP_PATIENCE = 45.0
# Maximum number of servers that may die while one user waits.
PATIENCE_WITH_DEATHS = 3
# Bytes free on a disk below which it counts as full.
LITTLE_ROOM = 1 << 20
# Seconds between two checks.
GLANCE = 0.002

Lost = Callable[[ServerStartError], None]
"""Called, in a thread, when a server in use cannot be started again."""


class EmbeddedServer:
    """
    Hold one use of a directory's server. The server runs as long as any process holds one.

    Made by `acquire`. Not shared between processes: each acquires its own.
    """

    def __init__(self, home: Home, users: FileLock, binary: Path | None, lost: Lost | None = None) -> None:
        self._home = home
        self._users = users
        self._replacement = Replacement(home, users, binary, lost)

    @property
    def url(self) -> str:
        """The server's address, `unix:///...`."""
        return f"unix://{self._home.socket}"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._home.log

    def release(self) -> None:
        """Stop using the server; it ends with its last user. Idempotent."""
        self._replacement.end()
        self._users.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def acquire(root: Path, *, binary: Path | None = None, lost: Lost | None = None) -> EmbeddedServer:
    """
    Use the embedded server of a directory, starting it if it does not run yet.

    Blocks for about 50 ms, longer while an earlier server stops or a large append-only file is read.
    Safe to call from many processes at once: they get one server.

    Args:
        root: The directory; the server keeps its data in `.rsq` under it.
        binary: The server program; None to search for one.
        lost: Called when it dies and cannot be started again; None to keep trying for ever.

    Returns:
        The use of a server that answers; with a full disk it can be read, but refuses writes.

    Raises:
        ServerStartError: No server program, no place for its data, or the server did not start.
    """
    home = Home(root)
    home.make()
    users = _join(home)
    try:
        _wait_for_server(home, binary)
    except BaseException as exc:
        users.close()
        if isinstance(exc, OSError):
            raise unwritable(home, exc) from exc
        raise
    return EmbeddedServer(home, users, binary, lost)


def _join(home: Home) -> FileLock:
    """Become a user; wait while the watchdog holds the lock exclusively, to stop the server."""
    try:
        users = FileLock(home.users_lock)
    except OSError as exc:
        raise unwritable(home, exc) from exc
    deadline = time.monotonic() + STOP_PATIENCE
    while not users.try_shared():
        if time.monotonic() > deadline:
            users.close()
            raise ServerStartError(
                f"the earlier embedded server of {home.root} has been stopping for {STOP_PATIENCE:.0f} s. "
                f"See {home.log}; end the process named in {home.pid}, and run again."
            )
        time.sleep(GLANCE)
    return users


def _wait_for_server(home: Home, binary: Path | None) -> None:
    started = False
    deaths = Deaths(home)
    deadline = time.monotonic() + START_PATIENCE
    while True:
        lock = FileLock(home.watchdog_lock)
        try:
            # Also if a server answers: without its watchdog nothing would stop it.
            if lock.try_exclusive():
                if started:
                    _raise_reason(home)
                start_watchdog(home, binary or find_binary(), lock)
                started = True
        finally:
            lock.close()
        reply = ping(home.socket)
        if reply and not reply.startswith(b"-LOADING"):
            return  # also "-MISCONF", on a full disk: each refused command will report it
        deaths.check()
        if reply:  # it is loading its data, however long that takes
            deadline = time.monotonic() + START_PATIENCE
        if time.monotonic() > deadline:
            raise _silent(home)
        time.sleep(GLANCE)


def _silent(home: Home) -> ServerStartError:
    """Make the error of a server that does not answer: it hangs, or the process that is to start it does."""
    what = f"the embedded server of {home.root} has not answered on {home.socket} for {START_PATIENCE:.0f} s"
    starter = holder(home.watchdog_lock)
    if starter and not holder(home.server_lock):
        state = "was stopped" if is_stopped(starter) else "does not go on"
        return ServerStartError(
            f"{what}: process {starter}, which is to start it, {state}. Continue it (kill -CONT {starter}) "
            f"or end it (kill -KILL {starter}), and run again."
        )
    return ServerStartError(f"{what}. See {home.log}; end the process named in {home.pid}, and run again.")


def _raise_reason(home: Home) -> None:
    """Raise why the watchdog ended, unless it did so in order."""
    if reason := home.watchdog_log.read_text(errors="replace").strip():
        raise ServerStartError(reason)
    disk = os.statvfs(home.folder)
    if disk.f_bavail * disk.f_frsize < LITTLE_ROOM:  # it had no room to write its reason
        raise unwritable(home, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


class Deaths:
    """Detect a server that keeps dying as it starts, so that a user gives up before the watchdog does."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._pids: set[str] = set()

    def check(self) -> None:
        """
        Check which process is starting.

        Raises:
            ServerStartError: It is the fourth: three have died over the same data.
        """
        try:
            pid = self._home.pid.read_text().strip()
        except FileNotFoundError:
            return
        self._pids |= {pid} if pid else set()
        if len(self._pids) > PATIENCE_WITH_DEATHS:
            log = self._home.previous_log if self._home.previous_log.exists() else self._home.log
            words = "\n".join(log.read_text(errors="replace").splitlines()[-6:])
            raise ServerStartError(
                f"the embedded server of {self._home.root} dies while it starts, each time:\n{words}\n"
                f"Mend its data in {self._home.folder / 'data'} (redis-check-aof), or delete "
                f"{self._home.folder} to begin with an empty server."
            )
