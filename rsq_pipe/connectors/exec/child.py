"""Child: a command whose standard output is read line by line."""

from __future__ import annotations

import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

import structlog

from rsq_pipe.connectors.exec.command import ReadOptions, logged, signalled

MAX_READ = 64 * 1024
"""Maximum bytes of standard error that are read as one line."""

_LAST = 5  # how many lines of standard error a message may quote


class Child:
    """
    Run a command.

    Args:
        options: The source's settings.
        root: The project root.
        stage: The stage, for the log.
    """

    def __init__(self, options: ReadOptions, root: Path, stage: str) -> None:
        self._options = options
        self._max_line = options.max_line
        self._log = structlog.get_logger("rsq_pipe").bind(stage=stage, command=options.shown)
        self._last_lines: deque[str] = deque(maxlen=_LAST)
        pipe = subprocess.PIPE
        settings: dict[str, Any] = options.settings(root)
        self._process = subprocess.Popen(
            options.words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, **settings
        )
        self._errors = threading.Thread(target=self._read_errors, name="rsq-pipe exec", daemon=True)
        self._errors.start()

    def lines(self) -> Iterator[tuple[bytes, bool]]:
        """Yield its lines, each with whether it is whole: not too long, and ended by a newline."""
        output = self._process.stdout
        assert output is not None
        with output:
            while line := output.readline(self._max_line + 1):
                whole = line.endswith(b"\n")
                if not whole and len(line) > self._max_line:
                    while (more := output.readline(self._max_line)) and not more.endswith(b"\n"):
                        pass
                    yield line, False
                else:
                    yield line, whole

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        code = self._process.wait()
        self._errors.join(timeout=1)
        return code

    @property
    def last_words(self) -> str:
        """Return the last lines it wrote to standard error."""
        return self._last_lines[-1] if self._last_lines else ""

    def stop(self) -> None:
        """End it and all processes it started, by SIGTERM, and if that is not enough by SIGKILL."""
        signalled(self._process.pid, SIGTERM)
        try:
            self._process.wait(self._options.stop_timeout)
        except subprocess.TimeoutExpired:
            signalled(self._process.pid, SIGKILL)
            self._process.wait()

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as errors:
            while line := errors.readline(MAX_READ):  # a progress bar never ends its line
                if text := logged(line):
                    self._last_lines.append(text)
                    self._log.info("a command says", said=text)
