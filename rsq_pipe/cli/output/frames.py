"""Frames: drawings that replace each other at the bottom of a terminal; printed lines stay above."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType


class SharedConsole(Console):
    """
    Print from several threads: what one of them prints is written before another begins.

    Rich computes where a frame begins before it writes: a line printed by another thread between the two
    would leave rows of the frame behind. So a thread that draws must enter the console first, and then the
    live display, whose own lock is taken in this order by a thread that prints.
    """

    def __init__(self, **settings: Any) -> None:
        self._writing = threading.RLock()
        super().__init__(**settings)

    def __enter__(self) -> Console:
        """Begin to print; another thread waits."""
        self._writing.acquire()
        return super().__enter__()

    def __exit__(self, *raised: object) -> None:
        """Write what was printed."""
        try:
            super().__exit__(*raised)
        finally:
            self._writing.release()


class Frames:
    """
    Draw frames, and remove the last one at the end. Made by `frames`.

    Args:
        live: The live display.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._frame: RenderableType = ""
        self._lengths: list[int] = []
        self._width = live.console.width

    def draw(self, frame: RenderableType) -> None:
        """Draw a frame over the one before."""
        lines = self._live.console.render_lines(frame, pad=False)
        self._frame = frame
        self._lengths = [sum(segment.cell_length for segment in line) for line in lines]
        with self._live.console:
            self._live.update(frame, refresh=True)

    def resized(self) -> None:
        """Redraw the last frame at once: later output is printed above it, and needs its number of rows."""
        before, self._width = self._width, self._live.console.width
        if self._width < before:
            self._wipe_wrapped(self._width)
        self.draw(self._frame)

    def _wipe_wrapped(self, width: int) -> None:
        """
        Wipe the last frame after the window has become narrower.

        The terminal wraps the lines that no longer fit. The frame then takes more rows than it was drawn on,
        and the extra rows would be left behind.
        """
        more = sum(max(0, length - 1) // width for length in self._lengths)
        wipe = (ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)
        if more:
            self._live.console.control(Control((ControlType.ERASE_IN_LINE, 2), *(wipe * more)))


@contextmanager
def frames() -> Iterator[Frames]:
    """Draw on standard error's terminal, from the event loop; output during that is printed above."""
    console = SharedConsole(stderr=True)
    # Output into a file stays as it is.
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=sys.stdout.isatty())
    drawn, loop = Frames(live), asyncio.get_running_loop()
    with console:
        live.start()
    loop.add_signal_handler(signal.SIGWINCH, drawn.resized)
    try:
        yield drawn
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        for stream in (sys.stdout, sys.stderr):  # a last line without a line end
            stream.flush()
        with console:
            live.stop()
