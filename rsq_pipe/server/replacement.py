"""Replacement: starts another watchdog for a server in use whose watchdog was killed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from rsq_pipe.errors import ServerStartError
from rsq_pipe.growing_pause import GrowingPause
from rsq_pipe.server.binary import find_binary
from rsq_pipe.server.file_lock import FileLock
from rsq_pipe.server.home import Home
from rsq_pipe.server.process import ping
from rsq_pipe.server.watchdog_start import start_watchdog

# Seconds between two checks: a server killed with its watchdog is back about this much later.
PERIOD = 1.0
LONGEST_PAUSE = 5.0
# Maximum number of watchdogs started in a row without a server that answers.
TRIES = 5


class Replacement:
    """
    Watch whether a server in use has a watchdog, and start another if it has none.

    The new one finds the server running, or starts it on the same data. Every user watches, and the
    watchdog's lock lets one of them start it. Runs in a thread, because the main thread may be waiting for
    the server.

    Args:
        home: The server's files.
        users: The lock by which this process is one of its users, held.
        binary: The server program; None to search for one.
        lost: Called, in a thread, when the server cannot be started again; None to keep trying for ever.
    """

    def __init__(
        self,
        home: Home,
        users: FileLock,
        binary: Path | None,
        lost: Callable[[ServerStartError], None] | None = None,
    ) -> None:
        self._home = home
        self._users = users
        self._binary = binary
        self._ending = threading.Event()
        self._pause = GrowingPause(PERIOD, LONGEST_PAUSE)
        self._lost = lost
        self._tries = 0
        self._logged = self._why = ""
        self._thread = threading.Thread(target=self._run, name="rsq-pipe server", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop watching; idempotent."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._pause.seconds or PERIOD):
            try:
                if self._has_watchdog():
                    if not self._tries or self._answers():
                        self._tries = 0
                        self._pause.works()
                    continue
            except (OSError, ServerStartError) as exc:  # no descriptor, disk or server program left
                self._log_failed(str(exc))
            if self._tries > TRIES and self._lost is not None:
                self._lost(self._given_up())
                return
            self._pause.fails()

    def _has_watchdog(self) -> bool:
        """Return whether there is a watchdog; start one if not."""
        if not self._users.in_place():
            return True  # the folder was deleted with its data: a new server there is not ours
        lock = FileLock(self._home.watchdog_lock)
        try:
            if not lock.try_exclusive():
                return True
            if self._pause.seconds and not ping(self._home.socket):
                self._log_failed(self._home.watchdog_log.read_text(errors="replace").strip())
            else:
                self._log("the watchdog of the embedded server was killed; another one takes its place")
            self._tries += 1
            if self._tries <= TRIES or self._lost is None:
                start_watchdog(self._home, self._binary or find_binary(), lock)
        finally:
            lock.close()
        return False

    def _answers(self) -> bool:
        reply = ping(self._home.socket)
        return bool(reply) and not reply.startswith(b"-LOADING")

    def _given_up(self) -> ServerStartError:
        home = self._home
        return ServerStartError(
            f"the embedded server of {home.root} cannot be started again, after {TRIES} tries: {self._why}\n"
            f"Its data is in {home.data}: repair it (redis-check-aof), restore a copy, or delete "
            f"{home.folder} to begin with an empty server; then run again."
        )

    def _log_failed(self, why: str) -> None:
        self._why = why
        self._log(f"the embedded server of {self._home.root} cannot be started again; trying on: {why}")

    def _log(self, line: str) -> None:
        """Log a line, but never the same one twice."""
        if line != self._logged:
            self._logged = line
            logging.getLogger("rsq_pipe").warning(line)
