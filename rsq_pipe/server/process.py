"""ServerProcess: the one server process of a home, started here or found running, and its replies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from rsq_pipe.errors import ServerStartError
from rsq_pipe.server.file_lock import FileLock
from rsq_pipe.server.home import Home

LOG_LINES_SHOWN = 10
# Seconds a server may take to flush its append-only file and end before it is killed.
STOP_PATIENCE = 30.0
# Seconds between two checks of a server that starts or ends.
GLANCE = 0.002

ALLOCATOR = "glibc.malloc.tcache_count=10000"
"""
How the server's malloc is tuned: how many freed pieces of each small size it keeps at hand.

A settlement of 2,000 records makes some ten thousand small objects and frees them together. By default glibc
keeps seven of each size and merges the others with their neighbours: docs/adr/0035 has the figures.
"""


class ServerProcess:
    """
    Run the server of one home.

    The process inherits `server.lock` and holds it while it lives, so the kernel knows whether a server runs:
    unlike a pid file or a leftover socket this cannot be wrong, and two servers can never write one append-
    only file.

    Args:
        home: Its files.
        binary: The server program.
    """

    def __init__(self, home: Home, binary: Path) -> None:
        self._home = home
        self._binary = binary
        # Opened once: if the folder is replaced, this lock still belongs to the server that was started in
        # it.
        self._probe = FileLock(home.server_lock)
        self._child: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def alive(self) -> bool:
        """Return whether the home's server runs, whichever process started it."""
        if self._child is not None:
            self._child.poll()  # an ended child stays a zombie until it is waited for
        return self._probe.held()

    def start(self) -> None:
        """
        Start the server unless it runs, and wait until it answers.

        Raises:
            ServerStartError: It ended instead; the message shows the end of its log.
        """
        lock = FileLock(self._home.server_lock)
        try:
            if not lock.try_exclusive():
                self._pid = self._found_pid()
                return
            self._tidy()  # or an earlier server's pid could be taken for this one's
            if self._home.log.exists():
                self._home.log.replace(self._home.previous_log)
            self._child = subprocess.Popen(
                self._command(),
                cwd=self._home.data,
                env=environment(),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(lock.fd,),
                umask=0o077,
            )
        finally:
            lock.close()
        self._pid = self._child.pid
        self._wait_for_an_answer(self._child)

    def stop(self) -> None:
        """End the server cleanly: everything it accepted is on disk when this returns."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a stopped process acts on SIGTERM only when it continues
        deadline = time.monotonic() + STOP_PATIENCE
        while self.alive():
            if time.monotonic() > deadline:
                self.kill()
                deadline += STOP_PATIENCE
            time.sleep(GLANCE)
        self._tidy()

    def kill(self) -> None:
        """Kill the server."""
        self._signal(signal.SIGKILL)
        if self._child is not None:
            self._child.wait()

    def _wait_for_an_answer(self, child: subprocess.Popen[bytes]) -> None:
        while not ping(self._home.socket):
            if (code := child.poll()) is not None:
                self._tidy()
                raise ServerStartError(
                    f"the embedded server {self._binary} ended with exit code {code} as it started. "
                    f"The end of its log, {self._home.log}:\n{self._last_words()}\n"
                    "Remove the cause, or name a running server with --redis URL."
                )
            time.sleep(GLANCE)

    def _last_words(self) -> str:
        try:
            lines = self._home.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "  (it wrote none)"
        return "\n".join(f"  {line}" for line in lines[-LOG_LINES_SHOWN:])

    def _found_pid(self) -> int:
        """Read the pid of a server found running; it writes the pid early in its start."""
        while self.alive():
            try:
                return int(self._home.pid.read_text())
            except (FileNotFoundError, ValueError):
                time.sleep(GLANCE)
        return 0

    def _signal(self, number: signal.Signals) -> None:
        """Signal the server and nothing else: while it holds its lock, no other process has its pid."""
        if self._pid and self.alive():
            os.kill(self._pid, number)

    def _tidy(self) -> None:
        """Remove the files that a killed server left."""
        self._home.socket.unlink(missing_ok=True)
        self._home.pid.unlink(missing_ok=True)

    def _command(self) -> list[str]:
        home = self._home
        settings = {
            "port": "0",
            "unixsocket": str(home.socket),
            "unixsocketperm": "700",
            "dir": str(home.data),
            "logfile": str(home.log),
            "pidfile": str(home.pid),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            # Refused writes are visible errors; evicted keys would lose records silently.
            "maxmemory-policy": "noeviction",
        }
        return [
            str(self._binary),
            *(part for name, value in settings.items() for part in (f"--{name}", value)),
        ]


def environment() -> dict[str, str]:
    """Return the variables a server starts with: `ALLOCATOR`, unless the user tunes glibc, and all others."""
    return {"GLIBC_TUNABLES": ALLOCATOR, **os.environ}


def ping(path: Path, *, timeout: float = 0.5) -> bytes:
    """
    Send PING to the server on a unix socket.

    Args:
        path: The socket.
        timeout: Seconds to wait for the connection, and again for the reply.

    Returns:
        The first line of its reply: `+PONG`, or an error: `-LOADING ...` while it loads its data, `-MISCONF
            ...` while its disk is full; empty if there is no answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(256).partition(b"\r\n")[0]
        except OSError:
            return b""
