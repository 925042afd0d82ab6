"""PreloadedProcess: a `subprocess.Popen` whose process is forked from one that has imported everything."""

from __future__ import annotations

import atexit
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgpack

COMMAND = Path(sys.executable).parent / "rsq-pipe"
REPOSITORY = Path(__file__).parents[2]

ANEW = "RSQ_TEST_ANEW"
"""Set to 1, for the tests or for one process, it has processes started anew, as users start them."""

_READ_AT_IMPORT = (
    *("PYTHON", "LC_", "LANG", "LD_", "MALLOC", "NO_COLOR", "FORCE_COLOR", "TERMINAL_WIDTH", "RICH_"),
    *("OTEL_PROPAGATORS", "OTEL_PYTHON_CONTEXT"),
)
INT = 4


class PreloadedProcess(subprocess.Popen[Any]):
    """
    Run `rsq-pipe`, or a module of the tests that calls it, without importing all of it anew.

    It is started anew all the same where that might make a difference: with variables that are read while
    modules are imported, or with settings of `Popen` that a fork does not have here. Its parent is the
    process that forks, and not this one.
    """

    _ends: int | None = None

    def _execute_child(self, *given: Any) -> None:
        private: Any = super()
        words, executable, prepare, close, kept, folder, environ, _, _, shell, *rest = given
        pipes, (restore, *owner, session, group) = rest[:6], rest[6:]
        asked = _asked(words, os.environ if environ is None else environ)
        usual = not (executable or prepare or kept or shell) and close and restore and group == -1
        if asked is None or not usual or {*owner} - {None, -1}:
            private._execute_child(*given)
            return
        asked |= {"folder": os.fspath(folder or Path.cwd()), "session": session}
        reads, _, _, says, _, complains = pipes
        streams = [own if pipe == -1 else pipe for own, pipe in enumerate((reads, says, complains))]
        try:
            self.pid, self._ends = _forking().fork(asked, streams)
            self._child_created = True
        finally:
            private._close_pipe_fds(*pipes)

    def _try_wait(self, flags: int) -> tuple[int, int]:
        private: Any = super()
        if self._ends is None:
            pid, status = private._try_wait(flags)
            return pid, status
        if flags & os.WNOHANG and not select.select([self._ends], [], [], 0)[0]:
            return 0, 0
        said = os.read(self._ends, INT)
        os.close(self._ends)
        return self.pid, int.from_bytes(said, sys.byteorder)

    def _internal_poll(self, *given: Any, **named: Any) -> Any:
        private: Any = super()
        if self._ends is None:
            return private._internal_poll(*given, **named)
        lock: threading.Lock = vars(self)["_waitpid_lock"]
        if self.returncode is None and lock.acquire(blocking=False):
            try:
                pid, status = self._try_wait(os.WNOHANG)
                if pid:
                    private._handle_exitstatus(status)
            finally:
                lock.release()
        return self.returncode


def run(
    words: Sequence[str | Path], *, given: str | None = None, timeout: float | None = None, **how: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `subprocess.run` does with `capture_output` and `text`."""
    how |= {"stdin": subprocess.PIPE} if given is not None else {}
    with PreloadedProcess(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how) as process:
        try:
            out, err = process.communicate(given, timeout=timeout)
        except BaseException:
            process.kill()
            raise
        return subprocess.CompletedProcess(words, process.returncode, out, err)


def _asked(words: Any, environ: Any) -> dict[str, Any] | None:
    """Say what is to be run, if that can be forked."""
    if (
        "1" in {environ.get(ANEW), os.environ.get(ANEW)}
        or sys.platform != "linux"
        or not isinstance(words, (list, tuple))
    ):
        return None
    first, *others = [os.fsdecode(word) for word in words]
    read = {name: value for name, value in environ.items() if name.startswith(_READ_AT_IMPORT)}
    ours = {name: value for name, value in os.environ.items() if name.startswith(_READ_AT_IMPORT)}
    if read | {"PYTHONPATH": ""} != ours | {"PYTHONPATH": ""}:
        return None
    environ = {os.fsdecode(name): os.fsdecode(value) for name, value in environ.items()}
    if first == str(COMMAND):
        return {"module": "", "words": [first, *others], "environ": environ}
    if first == sys.executable and others[:1] == ["-m"]:
        return {"module": others[1], "words": [others[1], *others[2:]], "environ": environ}
    return None


class _Forking:
    """Start the process that forks; ask it for one process after another."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._control = ours
        self._one = threading.Lock()
        command = [sys.executable, "-m", "tests.support.preloading", str(theirs.fileno())]
        environ = {n: v for n, v in os.environ.items() if not n.startswith(("RSQ_", "OTEL_"))}
        self._process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environ, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
        )
        theirs.close()
        atexit.register(self.close)

    def fork(self, asked: dict[str, Any], streams: Sequence[int]) -> tuple[int, int]:
        """Return the id of a new process, and a pipe that says how it ends."""
        hears, says = os.pipe()
        request = msgpack.packb(asked, unicode_errors="surrogateescape")
        try:
            with self._one:
                socket.send_fds(self._control, [len(request).to_bytes(INT, "big")], [*streams, says])
                self._control.sendall(request)
                pid = int.from_bytes(self._control.recv(INT), sys.byteorder)
        finally:
            os.close(says)
        if not pid:
            os.close(hears)
            raise OSError("the process that forks for the tests has ended")
        return pid, hears

    def close(self) -> None:
        """End it."""
        self._control.close()
        self._process.wait()


@cache
def _forking() -> _Forking:
    return _Forking()
