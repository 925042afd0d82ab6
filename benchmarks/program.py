"""Program: a contender that is a command, from its start to its end."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import BenchmarkError


@dataclass(frozen=True)
class Ended:
    """What a command took: seconds by the clock, of CPU time, and its peak memory in bytes (Linux)."""

    seconds: float
    cpu: float
    peak: int


class Program:
    """
    Run a command that writes its output to a file.

    Args:
        command: The command line.
        folder: The folder it runs in; its output goes to the file `log` there.
        environ: Variables in addition to those of this process.
    """

    def __init__(
        self, command: Sequence[str | Path], folder: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.log = folder / "log"
        # Installed packages have their bytecode beside them. If none may be written, each start from a
        # checkout compiles everything again: 0.3 s of CPU.
        variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(environ or {})}
        self._began = time.perf_counter()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log)

    def peak(self) -> int:
        """The most bytes it has had in memory."""
        return peak_memory(self._process.pid)

    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def error(self, what: str) -> BenchmarkError:
        """Make an error from what it should have done, and its output."""
        said = self.log.read_text(errors="replace")[-2000:]
        return BenchmarkError(f"{what}: {self._process.args!r}\n{said}")

    def until(self, done: Callable[[], bool], what: str, *, patience: float, pause: float) -> None:
        """Wait until it has done something; raise an error if it ends first, or takes too long."""
        deadline = time.monotonic() + patience
        while not done():
            if self.has_ended() or time.monotonic() > deadline:
                raise self.error(f"not done, and it has ended or hangs: {what}")
            time.sleep(pause)

    def wait(self) -> Ended:
        """Wait for its end; its CPU time includes that of its children. Raise an error if it fails."""
        # The peak is a high-water mark: looking rarely costs little and misses only the last moments.
        peak, pause = 0, 0.002
        while True:
            pid, status, used = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, self.peak())
            time.sleep(pause)
            pause = min(pause * 1.5, 0.02)
        seconds = time.perf_counter() - self._began
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode:
            raise self.error(f"exit code {self._process.returncode}")
        return Ended(seconds, used.ru_utime + used.ru_stime, peak)

    def stop(self) -> None:
        """Stop it the way a service is stopped."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def peak_memory(pid: int) -> int:
    """The most bytes a process has had in memory; 0 if the system does not say."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0
