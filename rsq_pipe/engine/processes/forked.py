"""Forked: a supervisor's first processes, forked from it while it has loaded nothing but modules."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading

from msgspec import Struct

from rsq_pipe.engine.processes.supervised import ADDRESS, COUNT, ENDED, NUMBER, REPORTS, SUPERVISED

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ChildStart(Struct, frozen=True):
    """
    Mark the return of `fork` in a forked process, which may begin.

    Args:
        address: The server's URL.
    """

    address: str


class Forked:
    """
    Hold a process that waits until it may begin, and ends if this one ends first.

    Args:
        pid: Its id.
        start_pipe: The pipe through which it is started, and which it watches from then on.
        code_pipe: The pipe to which it writes its exit code when it ends by itself.
    """

    def __init__(self, pid: int, start_pipe: int, code_pipe: int) -> None:
        self.pid = pid
        self.code_pipe = code_pipe
        self._start_pipe = start_pipe
        self._code: asyncio.Future[int] | None = None

    def begin(self, address: str) -> None:
        """Let the process begin, with the server's URL."""
        with contextlib.suppress(BrokenPipeError):  # it has died; its exit code says so
            os.write(self._start_pipe, f"{address}\n".encode())
        loop = asyncio.get_running_loop()
        self._code = loop.create_future()
        # A thread, like asyncio's own on systems without a better way; it ends with the process.
        threading.Thread(target=self._await_end, args=(loop, self._code), daemon=True).start()

    async def wait(self) -> int:
        """Wait until the process has ended; return its exit code, negative if a signal ended it."""
        assert self._code is not None
        return await asyncio.shield(self._code)

    def send_signal(self, number: int) -> None:
        """Send the process a signal; raise ProcessLookupError if it has ended."""
        if self._code is not None and self._code.done():  # another process may have its id by now
            raise ProcessLookupError
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Send the process SIGKILL, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Close its pipes."""
        os.close(self._start_pipe)
        os.close(self.code_pipe)

    def _await_end(self, loop: asyncio.AbstractEventLoop, code: asyncio.Future[int]) -> None:
        _, status = os.waitpid(self.pid, 0)
        with contextlib.suppress(RuntimeError):  # the loop has ended: there is no waiter left
            loop.call_soon_threadsafe(code.set_result, os.waitstatus_to_exitcode(status))


def fork(count: int, reports: int) -> list[Forked] | ChildStart:
    """
    Fork processes that have already imported what this one has: importing would take each half a second.

    Call it before any code of the user's is imported, any connection is made, or any thread is started:
    each process must have its own.

    Args:
        count: How many.
        reports: The file descriptor to which each reports how far it is.

    Returns:
        In this process: the others; none if the system's own libraries cannot be forked safely. In each of
            them: its start information, once `Forked.begin` was called.
    """
    if sys.platform != "linux" or threading.active_count() > 1:
        return []
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    forked: list[Forked] = []
    try:
        for number in range(count):
            (start_read, start_pipe), (code_pipe, code_written) = os.pipe(), os.pipe()
            pid = os.fork()
            if not pid:
                for other in forked:
                    other.close()
                os.close(start_pipe)
                os.close(code_pipe)
                return _begin(number, count, start_read, code_written, reports)
            os.close(start_read)
            os.close(code_written)
            forked.append(Forked(pid, start_pipe, code_pipe))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    return forked


def _begin(number: int, count: int, start_read: int, code_written: int, reports: int) -> ChildStart:
    """Become one of the processes; wait until it may begin, and end if the supervisor ends first."""
    # A session of its own: Ctrl-C in the terminal reaches only the supervisor, which stops each process once.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ignores one sent before that
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    # Several readers of one standard input would break its lines apart.
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    line = b""
    while not line.endswith(b"\n"):
        if not (read := os.read(start_read, 4096)):
            os._exit(0)
        line += read
    signal.signal(signal.SIGINT, signal.default_int_handler)
    address = line.decode().removesuffix("\n")
    os.environ.update(
        {
            SUPERVISED: str(start_read),
            ENDED: str(code_written),
            NUMBER: str(number),
            COUNT: str(count),
            REPORTS: str(reports),
            ADDRESS: address,
        }
    )
    return ChildStart(address)
