"""PrivateServer: a server process for tests, with its own folder, which may be killed and paused."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PASSWORD = "of-the-tests"


class PrivateServer:
    """
    Run one process, and remove everything it has written at the end.

    Args:
        folder: Its own, existing folder; it keeps its data across restarts.
    """

    what: str
    """Its name in messages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has logged."""
        path = self.folder / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it in good order: its data are kept. Stopping twice is harmless."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its connections abruptly."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop answering, with every connection left open."""
        assert self._process is not None, f"{self.what} is not running"
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after pause()."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """End it and delete its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _begin(self, command: Sequence[str | Path], user: str | None = None) -> None:
        assert self._process is None, f"{self.what} is running already"
        with (self.folder / "server.log").open("ab") as log:
            # Its own session: Ctrl-C on the test run must not end the server under tests that are cleaning
            # up.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=user,
                cwd=self.folder,
            )

    def _check(self) -> None:
        """Fail if it has ended; called while waiting for its answer."""
        assert self._process is not None, f"{self.what} is not running"
        if (code := self._process.poll()) is not None:
            raise AssertionError(f"{self.what} ended with exit code {code}:\n{self.log[-2000:]}")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        # If it is paused, it would act on a SIGTERM only once it continues.
        self._signal(number)
        self._signal(signal.SIGCONT)
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(timeout=30.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def other_user(*names: str) -> str | None:
    """Name the first of these users that exists, for root to run a server as; None if we are not root."""
    if os.geteuid() != 0:
        return None
    for name in names:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise AssertionError(f"a server that root starts runs as another user, and there is none of {names}")
