"""Terminal: a terminal as users have one: a command runs on it, and its final screen is read."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyte

from tests.support.preloaded import COMMAND, PreloadedProcess

ROWS = 30
SCROLLED = 10_000


class Terminal:
    """
    Emulate a terminal of a given width; lines that scrolled out are kept.

    Args:
        columns: Its width.
    """

    def __init__(self, columns: int) -> None:
        self._screen = pyte.HistoryScreen(columns, ROWS, history=SCROLLED, ratio=1e-9)
        self._stream = pyte.ByteStream(self._screen)
        self.columns = columns
        self._process: subprocess.Popen[bytes] | None = None
        self.written = b""
        """What was written to it, unchanged."""
        self.most_tables = 0
        """How many tables of stages were on the screen, or above it, at once."""

    def run(
        self,
        *words: str | Path,
        cwd: Path,
        answer: bytes = b"",
        widths: Sequence[int] = (),
        **environ: str,
    ) -> int:
        """
        Run `rsq-pipe ...` to its end; return its exit code.

        Args:
            words: The command.
            cwd: Where it runs.
            answer: What is typed when it asks.
            widths: Widths in columns that the window gets one after another, each when a table has been drawn
                at the previous one. Lines that no longer fit are cut off, as in xterm.
            environ: Variables.
        """
        left = list(widths)
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, self.columns, 0, 0))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RSQ_")}
        environ = {**inherited, "TERM": "xterm-256color", **environ}
        with PreloadedProcess(
            [COMMAND, *words],
            cwd=cwd,
            env=environ,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            self._process = process
            os.close(theirs)
            for read in _chunks(ours):
                self._stream.feed(read)
                self.written += read
                if left and any(line.startswith("stage ") for line in self._screen.display):
                    self._resize(ours, left.pop(0))
                if answer and "[y/N]" in "".join(self.lines):
                    os.write(ours, answer)
                    answer = b""
                self.most_tables = max(
                    self.most_tables, sum(line.startswith("stage ") for line in self.lines)
                )
        os.close(ours)
        return process.returncode

    def _resize(self, terminal: int, columns: int) -> None:
        self.columns = columns
        self._screen.resize(ROWS, columns)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))

    def interrupt(self) -> None:
        """Send the signal that Ctrl-C sends."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)

    @property
    def is_cursor_hidden(self) -> bool:
        return bool(self._screen.cursor.hidden)

    @property
    def lines(self) -> list[str]:
        """All lines, those that scrolled out first, without empty ones at the end."""
        above = ["".join(row[x].data for x in range(self.columns)) for row in self._screen.history.top]
        return [line.rstrip() for line in "\n".join([*above, *self._screen.display]).rstrip().split("\n")]


def _chunks(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            read = os.read(terminal, 65_536)
        except OSError:  # the other end is closed
            return
        if not read:
            return
        yield read
