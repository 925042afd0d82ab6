"""Paused: logs which process of a run is paused, since a paused process cannot say so itself."""

from __future__ import annotations

import asyncio

from structlog.typing import FilteringBoundLogger

from rsq_pipe.process_state import is_stopped

PERIOD = 2.0
"""Seconds from one look at a process to the next."""


_PAUSED = (
    "a process is paused (SIGSTOP) and does nothing; the others take over what it had after a few seconds: "
    "let it go on, kill -CONT {0}, or end it, kill -KILL {0}"
)


async def log_pauses(pid: int, log: FilteringBoundLogger) -> None:
    """Look at a process until cancelled, and log when it is paused and when it goes on."""
    was_paused = False
    while True:
        await asyncio.sleep(PERIOD)
        if is_stopped(pid) == was_paused:
            continue
        was_paused = not was_paused
        what = _PAUSED.format(pid) if was_paused else "a process that was paused goes on"
        log.warning(what, pid=pid)
