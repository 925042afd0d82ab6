"""Standstill: logs where a process is stuck if something blocks its event loop, or that it was paused."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, Self

import structlog

from rsq_pipe.streams.backoff import Outage

PERIOD = 1.0
"""Seconds between two checks."""

SECONDS = 5.0
"""Seconds without a turn of the loop before it is logged: leases expire after about as many."""


_PAUSED = (
    "this process was paused: by SIGSTOP, by a machine that slept, or for want of CPU time; others may have "
    "taken over what it had in flight, and it goes on"
)


def clock() -> float:
    """Return seconds that pass even while the machine sleeps, where the system counts them."""
    counts = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(counts)


class Standstill:
    """
    Watch the event loop of a run from a thread, while this context is entered.

    An `async def` handler that blocks stops everything the process does: its own timeout cannot end it,
    leases expire, and the server seems not to answer. Only a thread can report it, and where, while it lasts.
    A paused process can only report it afterwards. Either way servers are not blamed for what timed out.

    Args:
        pipeline: The name of the pipeline.
        root: The project's folder: the innermost blocking call in a file there is reported.
        log: Where to log; the run's log if left out.
    """

    def __init__(self, pipeline: str, root: Path, log: Any = None) -> None:
        self._log = log or structlog.get_logger("rsq_pipe").bind(pipeline=pipeline)
        self._root = root.resolve()
        self._ended = threading.Event()
        self._turned = 0.0

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._turned = clock()
        self._beat()
        threading.Thread(target=self._watch, name="rsq-pipe standstill", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._next.cancel()

    def _beat(self) -> None:
        # Of several timers that are due the oldest is run first: this one before those of the timeouts.
        before, self._turned = self._turned, clock()
        if self._turned - before >= 2 * PERIOD:
            Outage.excuse()
        self._next = self._loop.call_later(PERIOD, self._beat)

    def _watch(self) -> None:
        before, since = clock(), 0.0
        while not self._ended.wait(PERIOD):
            now, turned = clock(), self._turned
            # If this thread is late itself, the whole process was paused.
            took, before = now - before, now
            on_time = took < 2 * PERIOD
            if took >= SECONDS:
                self._log.warning(_PAUSED, seconds=round(took, 1))
            if since and turned > since:
                self._log.warning("the process goes on", stood=round(turned - since, 1))
                since = 0.0
            elif not since and on_time and now - turned >= SECONDS:
                since = turned
                self._log.warning(
                    "the process stands still: a call holds up its event loop; "
                    "make an `async def` that does not await a plain `def`",
                    seconds=round(now - turned, 1),
                    at=self._where(),
                )

    def _where(self) -> str:
        """Name the innermost call in the project's own code; if there is none, the innermost of all."""
        innermost = frame = sys._current_frames().get(self._watched)
        while frame is not None and not self._is_own(frame):
            frame = frame.f_back
        found = frame or innermost
        if found is None:
            return ""
        file = Path(found.f_code.co_filename)
        name = file.relative_to(self._root) if file.is_relative_to(self._root) else file
        return f"{name}:{found.f_lineno} in {found.f_code.co_name}"

    def _is_own(self, frame: FrameType) -> bool:
        file = Path(frame.f_code.co_filename)
        installed = "site-packages" in file.parts or file.is_relative_to(Path(__file__).parents[2])
        return file.is_relative_to(self._root) and not installed
